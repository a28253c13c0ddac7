'use strict'
// What the addon says of failures, made errors; and what is said of arguments.

const errors = require('./errors')
const native = require('./native')

const classes = {
  ANZ_EINVAL: errors.InvalidArgumentError,
  ANZ_EMSGSIZE: errors.MessageSizeError,
  ANZ_ECONFIG: errors.ConfigError,
  ANZ_EAGAIN: errors.WouldBlockError,
  ANZ_ENOMEM: errors.OutOfMemoryError,
  ANZ_EBUSY: errors.BusyError,
  ANZ_EEXIST: errors.ExistsError,
  ANZ_EACCES: errors.AccessError,
  ANZ_ENOTSUP: errors.NotSupportedError,
  ANZ_ETIMEDOUT: errors.TimeoutError,
  ANZ_ECONNREFUSED: errors.ConnectionRefusedError,
  ANZ_ECLOSED: errors.ClosedError,
  ANZ_ENOTMEMBER: errors.NotMemberError,
  ANZ_ESLOW: errors.SlowReceiverError,
  ANZ_EVIEW: errors.ViewChangedError,
  ANZ_ELOST: errors.MessageLostError
}

/** The numbers of the codes, which `errno` of an error is. */
const status = {
  OK: 0,
  EAGAIN: -11,
  EBUSY: -16,
  EEXIST: -17,
  EINVAL: -22,
  EMSGSIZE: -90,
  ECLOSED: -1002,
  ENOTMEMBER: -1001,
  ESLOW: -1006,
  EVIEW: -1008,
  ELOST: -1009
}

/** An error for what the addon says. */
function fromFailure (failure) {
  const Class = classes[failure.name] ?? errors.AnasaziError
  return new Class(failure)
}

/** An error for a number, with a sentence if there is a better one than the library's. */
function fromStatus (number, message) {
  const failure = native.failureOf(number)
  return fromFailure(message ? { ...failure, message } : failure)
}

/** An argument that cannot be used. */
function invalid (message) {
  return fromStatus(status.EINVAL, message)
}

/** What a caller passed, for a message. */
function shown (value) {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (value === null || typeof value !== 'object') return String(value)
  const name = value.constructor?.name
  return `an object of ${typeof name === 'string' ? name : 'no class'}`
}

/** Whether the addon says why not. By its shape: of two copies of this package that load one and
 * the same addon, the classes of the one are not those of the other. */
function isFailure (made) {
  return Object.hasOwn(made, 'retryable')
}

module.exports = { status, isFailure, fromFailure, fromStatus, invalid, shown }
