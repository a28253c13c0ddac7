// Node finds the names in the lists at the end of index.js and errors.js.
export * from './index.js'
export { default } from './index.js'
