'use strict'
// Groups, and addresses of members.

const EventEmitter = require('node:events')
const { fromStatus, invalid, shown, status } = require('./failure')
const { Line } = require('./line')
const { checkKeys } = require('./options')
const { checkSignal, withSignal } = require('./signals')

/** So long may messages that were sent before leaving wait for room. */
const LEAVING_MS = 5000

/**
 * Where messages are sent to. `drain`: there is room again, after a `tryMcast()` that gave false;
 * `left`: it has ended.
 */
class Address extends EventEmitter {
  #connection
  #native
  #outbox
  #leaving
  #isLeaving = false
  /** What is to be sent before it is left. */
  #sending
  #hasEnded = false
  /** Who waits for room. */
  #writers = new Set()

  constructor (parts, number, name) {
    super()
    if (parts?.outbox === undefined) {
      throw invalid('groups are made by connection.join(), addresses by connection.peer()')
    }
    this.#connection = parts.connection
    this.#native = parts.native
    this.#outbox = parts.outbox
    /** For this package: what waits to be sent. */
    Object.defineProperty(this, 'waiting', { value: new Line() })
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

  /** Resolves when a message may be sent again; in any case it settles. */
  async writable (options) {
    const signal = checkKeys('writable()', options, ['signal'])?.signal
    checkSignal(signal)
    signal?.throwIfAborted()
    this._checkOpen()
    if (this.#outbox.refusal !== undefined) throw this.#outbox.refusal
    if (this.waiting.size === 0 && !this.#outbox.needsRoom(this)) return
    const writer = {}
    const room = new Promise((resolve, reject) => Object.assign(writer, { resolve, reject }))
    this.#writers.add(writer)
    this.#outbox.needRoom([this])
    await withSignal(room, signal, () => this.#writers.delete(writer))
  }

  leave () {
    if (this.#hasEnded) return Promise.resolve()
    if (this.#leaving !== undefined) return this.#leaving
    this.unread?.cutAtEnd()
    const leaving = {}
    this.#leaving = new Promise((resolve, reject) => Object.assign(leaving, { resolve, reject }))
    const { reject } = leaving
    leaving.reject = (error) => {
      // Not for ever: it can be tried again.
      this.#leaving = undefined
      reject(error)
    }
    const result = this.#leaving
    this.#connection._awaits(this, leaving)
    if (!this.#isLeaving) this.#startToLeave()
    return result
  }

  /** Once what waits is sent, if that is soon. */
  #startToLeave () {
    this.#isLeaving = true
    if (this.waiting.size === 0) return this.#leaveNow()
    this.#sending = setTimeout(() => {
      const error = fromStatus(status.EAGAIN, `${shown(this.name)} is being left, and for ` +
        `${LEAVING_MS / 1000} seconds there was no room for this message: it was not sent`)
      const freed = this.#outbox.failWaiting(error, this)
      this._sentAll()
      for (const group of freed) this.#outbox.flush(group)
    }, LEAVING_MS)
  }

  #leaveNow () {
    if (this.#hasEnded) return
    const result = this.#native.leave(this.number)
    if (result === status.OK) return
    this.#isLeaving = false
    this.#connection._cannotLeave(this, fromStatus(result))
  }

  /** For this package: nothing waits to be sent any more. */
  _sentAll () {
    if (this.#sending === undefined) return
    clearTimeout(this.#sending)
    this.#sending = undefined
    this.#leaveNow()
  }

  [Symbol.asyncDispose] () {
    return this.leave().catch((error) => {
      // Closed, with its connection: as good as left. Or it is left as soon as others are read.
      if (error.code !== 'ANZ_ECLOSED' && error.code !== 'ANZ_ESLOW') throw error
    })
  }

  /** There is room; or there will be none. */
  _drained (error) {
    process.nextTick(() => this.emit('drain'))
    const writers = [...this.#writers]
    this.#writers.clear()
    for (const { resolve, reject } of writers) {
      if (error === undefined) resolve()
      else reject(error)
    }
  }

  _checkOpen () {
    if (this.#hasEnded) {
      throw fromStatus(status.ECLOSED, `${shown(this.name)} has ended: nothing is sent to it`)
    }
    if (this.#isLeaving) {
      throw fromStatus(status.ENOTMEMBER, `${shown(this.name)} is being left: join it again to ` +
        'send to it')
    }
  }

  /** Nothing more is told of what was sent there; gives groups that may have room now. */
  _end (error) {
    this.#hasEnded = true
    this._sentAll()
    const why = error ?? fromStatus(status.ECLOSED, `${this.name} was left`)
    const freed = this.#outbox.failAll(why, this)
    process.nextTick(() => this.emit('left', error))
    return freed
  }
}

/** A member of its own, to be reached alone. */
class Peer extends Address {
  constructor (parts, number, member) {
    super(parts, number, `${member?.node}/${member?.session}`)
    Object.defineProperty(this, 'member', { value: member, enumerable: true })
  }
}

/** A group that was joined: what is sent to it, and its ordered stream. */
class Group extends Address {
  #joined
  #view

  constructor (parts, number, name, unread, isSendOnly) {
    super(parts, number, name)
    Object.defineProperty(this, 'unread', { value: unread })
    Object.defineProperty(this, 'sendOnly', { value: isSendOnly, enumerable: true })
    /** What messages to it alone say. */
    Object.defineProperty(this, 'asList', { value: Object.freeze([this]) })
  }

  /** The one that was received last. */
  get view () {
    return this.#view
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
    this.#view = view
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
    const freed = super._end(error)
    this.unread.end(error)
    this._joinFails(error ?? fromStatus(status.ECLOSED, `${this.name} was left`))
    return freed
  }
}

module.exports = { Address, Group, Peer }
