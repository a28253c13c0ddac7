'use strict'
// Errors: one class for each thing that a program may want to tell apart. ES modules see the names
// that the list at the end has as it stands (lib/index.mjs).

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
class OutOfMemoryError extends AnasaziError {}
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

module.exports = {
  AnasaziError,
  InvalidArgumentError,
  MessageSizeError,
  ConfigError,
  WouldBlockError,
  OutOfMemoryError,
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
  MessageLostError
}
