'use strict'
// What callers pass besides: checked, and as the addon takes it.

const { invalid, shown } = require('./errors')

function checkSignal (signal) {
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalid(`signal is an AbortSignal, not ${shown(signal)}`)
  }
}

/** As the promise, but not after the signal. */
function withSignal (promise, signal, onAbort) {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = () => {
      onAbort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Options with no other keys than these, if there are any. */
function checkKeys (what, options, keys) {
  if (options === undefined) return undefined
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw invalid(`options of ${what} are an object, not ${shown(options)}`)
  }
  const unknown = Object.keys(options).find((key) => !keys.includes(key))
  if (unknown !== undefined) {
    throw invalid(`${what} has no option ${shown(unknown)}: there are ${keys.join(', ')}`)
  }
  return options
}

function checkJoin (options) {
  checkKeys('join()', options, ['sendOnly', 'unreadEventsMax', 'unreadBytesMax', 'signal'])
  if (options === undefined) return
  checkSignal(options.signal)
  checkLimits(options)
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
  if (options === undefined) return []
  if (options === null || typeof options !== 'object') {
    throw invalid(`options are an object, not ${shown(options)}`)
  }
  const settings = options.settings ?? {}
  if (typeof settings !== 'object') {
    throw invalid(`settings are an object of keys and values, not ${shown(settings)}`)
  }
  return Object.entries(settings).flatMap(([key, value]) => {
    if (!['string', 'number', 'boolean', 'bigint'].includes(typeof value)) {
      throw invalid(`the setting ${key} is text, a number or a boolean, not ${shown(value)}`)
    }
    return [key, String(value)]
  })
}

function fileOf (options) {
  const file = options?.configFile
  if (file !== undefined && typeof file !== 'string') {
    throw invalid(`configFile is the path of a file, not ${shown(file)}`)
  }
  return file
}

module.exports = { checkJoin, checkKeys, checkLimits, checkSignal, fileOf, settingsOf, withSignal }
