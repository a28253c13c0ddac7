'use strict'
// What callers pass besides: checked, and as the addon takes it.

const { invalid, shown } = require('./failure')
const { checkSignal } = require('./signals')

/** Whether it is an object of keys and values, of any realm. */
function isPlain (value) {
  if (value === null || typeof value !== 'object') return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Options with no other keys than these, if there are any. */
function checkKeys (what, options, keys) {
  if (options === undefined) return undefined
  if (!isPlain(options)) {
    throw invalid(`options of ${what} are an object, not ${shown(options)}`)
  }
  for (const key of Object.keys(options)) {
    if (keys.includes(key)) continue
    throw invalid(`${what} has no option ${shown(key)}: there are ${keys.join(', ')}`)
  }
  return options
}

function checkJoin (options) {
  checkKeys('join()', options, ['sendOnly', 'unreadEventsMax', 'unreadBytesMax', 'signal'])
  if (options === undefined) return
  checkFlags(options, ['sendOnly'])
  checkSignal(options.signal)
  checkLimits(options)
}

/** What is on or off: what is neither, such as 'no', would be taken for what it is not. */
function checkFlags (options, keys) {
  for (const key of keys) {
    const flag = options[key]
    if (flag === undefined || typeof flag === 'boolean') continue
    throw invalid(`${key} is true or false, not ${shown(flag)}`)
  }
}

function checkLimits (options) {
  for (const key of ['unreadEventsMax', 'unreadBytesMax']) {
    const most = options[key]
    if (most !== undefined && !(Number.isInteger(most) && most > 0)) {
      throw invalid(`${key} is a whole number above 0, not ${shown(most)}`)
    }
  }
}

/** Settings as the addon takes them. */
function settingsOf (options) {
  const settings = options?.settings ?? {}
  if (!isPlain(settings)) {
    throw invalid(`settings are an object of keys and values, not ${shown(settings)}`)
  }
  return Object.entries(settings).flatMap(([key, value]) => {
    if (isPlain(value)) throw invalid(nested(key, value))
    if (!['string', 'number', 'boolean', 'bigint'].includes(typeof value)) {
      throw invalid(`the setting ${key} is text, a number or a boolean, not ${shown(value)}`)
    }
    return [key, String(value)]
  })
}

/** Tables within tables are for files. */
function nested (key, value) {
  let name = key
  while (isPlain(value) && Object.keys(value).length > 0) {
    const [[inner, one]] = Object.entries(value)
    name += `.${inner}`
    value = one
  }
  return name === key
    ? `the setting ${shown(key)} is an empty object: write 'section.key': value`
    : `settings are one object, without others in it: write '${name}' in place of an object ` +
      `for ${shown(key)}`
}

function fileOf (options) {
  const file = options?.configFile
  if (file !== undefined && typeof file !== 'string') {
    throw invalid(`configFile is the path of a file, not ${shown(file)}`)
  }
  if (file === '') throw invalid('configFile is the path of a file, and this one is empty')
  return file
}

/** The name of a group, as the library takes it. */
function checkName (name) {
  if (typeof name !== 'string') throw invalid(`a group's name is text, not ${shown(name)}`)
  const len = Buffer.byteLength(name)
  if (len === 0) throw invalid('a group\'s name has 1 to 255 bytes, and this one is empty')
  if (len > 255) {
    throw invalid(`a group's name has 1 to 255 bytes of UTF-8, and ${shown(name)} has ${len}`)
  }
  if (name.includes('\0')) {
    throw invalid(`a group's name has no character 0, as ${shown(name)} has`)
  }
  if (!name.isWellFormed()) {
    throw invalid(`${shown(name)} is no text that UTF-8 can hold: half of a pair of surrogates ` +
      'is missing')
  }
}

module.exports = {
  checkFlags, checkJoin, checkKeys, checkLimits, checkName, fileOf, isPlain, settingsOf
}
