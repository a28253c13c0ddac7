export * from './index.js'
import * as anasazi from './index.js'
export default anasazi
