'use strict'
// Errors: one class for each thing that a program may want to tell apart.

const native = require('./native')

/** What all errors of this package are. */
class AnasaziError extends Error {
  /**
   * @param {object} failure what the addon says: status, name, osErrno, retryable, fatal, message
   */
  constructor (failure) {
    super(failure.message)
    this.name = new.target.name
    this.code = failure.name
    this.errno = failure.status
    this.osErrno = failure.osErrno
    this.retryable = failure.retryable
    this.fatal = failure.fatal
  }
}

class InvalidArgumentError extends AnasaziError {}
class MessageSizeError extends InvalidArgumentError {}
class ConfigError extends InvalidArgumentError {}
class WouldBlockError extends AnasaziError {}
class BusyError extends AnasaziError {}
class ExistsError extends AnasaziError {}
class AccessError extends AnasaziError {}
class NotSupportedError extends AnasaziError {}
class TimeoutError extends AnasaziError {}
class ConnectionRefusedError extends AnasaziError {}
class ClosedError extends AnasaziError {}
class NotMemberError extends AnasaziError {}
class SlowReceiverError extends AnasaziError {}
class ViewChangedError extends AnasaziError {}
class MessageLostError extends AnasaziError {}

const classes = {
  ANZ_EINVAL: InvalidArgumentError,
  ANZ_EMSGSIZE: MessageSizeError,
  ANZ_ECONFIG: ConfigError,
  ANZ_EAGAIN: WouldBlockError,
  ANZ_EBUSY: BusyError,
  ANZ_EEXIST: ExistsError,
  ANZ_EACCES: AccessError,
  ANZ_ENOTSUP: NotSupportedError,
  ANZ_ETIMEDOUT: TimeoutError,
  ANZ_ECONNREFUSED: ConnectionRefusedError,
  ANZ_ECLOSED: ClosedError,
  ANZ_ENOTMEMBER: NotMemberError,
  ANZ_ESLOW: SlowReceiverError,
  ANZ_EVIEW: ViewChangedError,
  ANZ_ELOST: MessageLostError
}

/** The numbers of the codes, which `errno` of an error is. */
const status = {
  OK: 0,
  EAGAIN: -11,
  EBUSY: -16,
  EEXIST: -17,
  EINVAL: -22,
  ECLOSED: -1002,
  ENOTMEMBER: -1001,
  ESLOW: -1006,
  EVIEW: -1008,
  ELOST: -1009
}

/** An error for what the addon says. */
function fromFailure (failure) {
  const Class = classes[failure.name] ?? AnasaziError
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
  if (value === null || typeof value !== 'object') return String(value)
  return `an object of ${value.constructor?.name ?? 'no class'}`
}

/** Whether the addon says why not. By its shape: of two copies of this package that load one and
 * the same addon, the classes of the one are not those of the other. */
function isFailure (made) {
  return Object.hasOwn(made, 'retryable')
}

module.exports = {
  AnasaziError,
  InvalidArgumentError,
  MessageSizeError,
  ConfigError,
  WouldBlockError,
  BusyError,
  ExistsError,
  AccessError,
  NotSupportedError,
  TimeoutError,
  ConnectionRefusedError,
  ClosedError,
  NotMemberError,
  SlowReceiverError,
  ViewChangedError,
  MessageLostError,
  status,
  isFailure,
  fromFailure,
  fromStatus,
  invalid,
  shown
}
