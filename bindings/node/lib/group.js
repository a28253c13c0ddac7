'use strict'
// Groups, and addresses of members.

const EventEmitter = require('node:events')
const { fromStatus, status } = require('./errors')

/**
 * Where messages are sent to. `drain`: there is room again, after a `tryMcast()` that gave false;
 * `left`: it has ended.
 */
class Address extends EventEmitter {
  #connection
  #native
  #outbox
  #leaving
  #hasEnded = false
  /** For this package. */
  waiting = []
  needsDrain = false
  hasReceipts = false

  constructor (parts, number, name) {
    super()
    this.#connection = parts.connection
    this.#native = parts.native
    this.#outbox = parts.outbox
    for (const hidden of ['waiting', 'needsDrain', 'hasReceipts']) {
      Object.defineProperty(this, hidden, { enumerable: false })
    }
    Object.defineProperty(this, 'number', { value: number })
    Object.defineProperty(this, 'name', { value: name, enumerable: true })
  }

  /** Its connection. */
  get connection () {
    return this.#connection
  }

  /** Whether it has ended. */
  get closed () {
    return this.#hasEnded
  }

  mcast (data, options) {
    return this.#outbox.mcast([this], data, options)
  }

  tryMcast (data, options) {
    return this.#outbox.tryMcast([this], data, options)
  }

  leave () {
    if (this.#hasEnded) return Promise.resolve()
    this.#leaving ??= new Promise((resolve, reject) => {
      const result = this.#native.leave(this.number)
      if (result !== status.OK) throw fromStatus(result)
      this.#connection._awaits(this, resolve, reject)
    })
    return this.#leaving
  }

  [Symbol.asyncDispose] () {
    return this.leave().catch((error) => {
      // Closed, with its connection: as good as left.
      if (error.code !== 'ANZ_ECLOSED') throw error
    })
  }

  /** For this package: nothing more is told of what was sent there. */
  _end (error) {
    this.#hasEnded = true
    const why = error ?? fromStatus(status.ECLOSED, `${this.name} was left`)
    this.#outbox.failAll(why, this)
    process.nextTick(() => this.emit('left', error))
  }
}

/** A member of its own, to be reached alone. */
class Peer extends Address {
  constructor (parts, number, member) {
    super(parts, number, `${member.node}/${member.session}`)
    Object.defineProperty(this, 'member', { value: member, enumerable: true })
    this.hasReceipts = true
  }
}

/** A group that was joined: what is sent to it, and its ordered stream. */
class Group extends Address {
  #joined
  /** The view that was received last. */
  view = undefined

  constructor (parts, number, name, unread, isSendOnly) {
    super(parts, number, name)
    Object.defineProperty(this, 'unread', { value: unread })
    Object.defineProperty(this, 'sendOnly', { value: isSendOnly, enumerable: true })
    /** What messages to it alone say. */
    Object.defineProperty(this, 'asList', { value: Object.freeze([this]) })
    this.hasReceipts = isSendOnly
  }

  [Symbol.asyncIterator] () {
    return this.unread.open(false)
  }

  batches () {
    return this.unread.open(true)
  }

  /** For this package: calls back at the first view, or the refusal. */
  _whenJoined (resolve, reject) {
    this.#joined = { resolve, reject }
  }

  _sees (view) {
    this.view = view
    this.#joined?.resolve(this)
    this.#joined = undefined
  }

  _joinFails (error) {
    this.#joined?.reject(error)
    this.#joined = undefined
  }

  get _isJoining () {
    return this.#joined !== undefined
  }

  _end (error) {
    super._end(error)
    this.unread.end(error)
    this._joinFails(error ?? fromStatus(status.ECLOSED, `${this.name} was left`))
  }
}

module.exports = { Address, Group, Peer }
