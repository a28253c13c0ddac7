'use strict'
// The addon and the library beside it.

const path = require('node:path')

function load () {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`anasazi: this package is built for linux x64, not for ${process.platform} ` +
      `${process.arch}: build one there, with \`make npm\``)
  }
  const file = path.join(__dirname, '..', 'native', 'anasazi.node')
  let native
  try {
    native = require(file)
  } catch (cause) {
    throw new Error(`anasazi: ${file} cannot be loaded (${cause.message}): install the package ` +
      'again, or build it with `npm run build`', { cause })
  }
  if (!native.isCompatible()) {
    const error = new Error(`anasazi: this package does not go with the library that was loaded, ` +
      `of version ${native.versionText()}: another libanasazi.so.1 was loaded before it or has ` +
      'taken the place of its own')
    error.code = 'ANZ_EVERSION'
    throw error
  }
  return native
}

module.exports = load()
