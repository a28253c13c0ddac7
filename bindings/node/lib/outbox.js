'use strict'
// Messages that wait for room, and messages whose fate is awaited.

const { isAnyArrayBuffer, isSharedArrayBuffer, isTypedArray } = require('node:util').types
const { fromStatus, invalid, shown, status } = require('./failure')
const { services } = require('./inbox')
const { checkFlags, checkKeys } = require('./options')
const { checkSignal, onAbort } = require('./signals')

/** So many bytes and messages may wait for room. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
const WAITING_MAX = 65536

const NO_SELF = 0x100
const SAME_VIEW = 0x400
const priorities = new Map([['high', 0x1000], ['normal', 0], ['bulk', 0x2000]])
const optionsOfMessages = ['service', 'priority', 'sameView', 'self', 'signal']
const GROUPS_MAX = 64
const UNRELIABLE = 0

/** The service and its flags, as a number. */
function serviceOf (options) {
  if (options === undefined) return 4
  checkKeys('a message', options, optionsOfMessages)
  checkFlags(options, ['sameView', 'self'])
  const service = services.indexOf(options.service ?? 'agreed')
  if (service < 0) {
    const all = services.join(', ')
    throw invalid(`no service is called ${shown(options.service)}: there are ${all}`)
  }
  const priority = priorities.get(options.priority ?? 'normal')
  if (priority === undefined) {
    throw invalid(`no priority is called ${shown(options.priority)}: there are high, normal, bulk`)
  }
  const flags = (options.sameView ? SAME_VIEW : 0) | (options.self === false ? NO_SELF : 0)
  return service | priority | flags
}

/** The bytes of a message. Text is sent as UTF-8. */
function bytesOf (data) {
  if (typeof data === 'string') return Buffer.from(data)
  const isPlain = data instanceof Uint8Array && !(data.buffer instanceof SharedArrayBuffer)
  if (isPlain && data.length > 0) return data
  if (!isAnyArrayBuffer(data) && !ArrayBuffer.isView(data)) {
    throw invalid('a message is a Buffer, a typed array, an ArrayBuffer or text, not ' +
      shown(data))
  }
  try {
    return viewOf(data)
  } catch {
    throw invalid('the memory of this message is gone: its buffer was transferred to another ' +
      'thread, or is too short by now; send a copy, or transfer it later')
  }
}

/** Throws for what is gone: it would be sent as empty. */
function viewOf (data) {
  if (isAnyArrayBuffer(data)) data = new Uint8Array(data)
  if (isTypedArray(data)) Uint8Array.prototype.values.call(data)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  // Others may write to it while it is sent.
  return isSharedArrayBuffer(data.buffer) ? Buffer.from(bytes) : bytes
}

/** One message, until its fate is known. */
class Send {
  constructor (groups, service, data, tag, resolve, reject) {
    this.groups = groups
    this.service = service
    this.data = data
    this.tag = tag
    this.resolve = resolve
    this.reject = reject
    this.views = service & SAME_VIEW ? groups.map((group) => group.view?.id) : undefined
    this.stopListening = undefined
    /** In each of the groups, if it waits. */
    this.places = undefined
    this.isSettled = false
  }

  get isFirst () {
    return this.groups.every((group) => group.waiting.first === this)
  }

  get viewHasChanged () {
    return this.views?.some((id, at) => this.groups[at].view?.id !== id)
  }

  /** Of a message that does not come back: whether there is a receipt, as the library has it. */
  get hasReceipt () {
    return this.groups.every((group) => group.sendOnly ||
      (group.member !== undefined && group.member !== group.connection.self))
  }

  succeed (sequence) {
    this.isSettled = true
    this.stopListening?.()
    this.resolve(sequence)
  }

  fail (error) {
    this.isSettled = true
    this.stopListening?.()
    this.reject(error)
  }
}

/** The sends of a connection. */
class Outbox {
  #native
  #mcast
  #onAwaited
  #lastTag = 0
  /** Accepted, by tag. */
  #pending = new Map()
  #waiting = new Set()
  #waitingBytes = 0
  #freed = new Set()
  /** Groups where `tryMcast()` found no room, or room is awaited. */
  #needing = new Set()
  /** Why nothing is sent now, if so. */
  refusal = undefined

  constructor (native, onAwaited) {
    this.#native = native
    this.#mcast = native.sender()
    this.#onAwaited = onAwaited
  }

  /** How many are waited for. */
  get awaited () {
    return this.#pending.size + this.#waiting.size + this.#needing.size
  }

  nextTag () {
    return ++this.#lastTag
  }

  #hand (groups, service, data, tag) {
    return groups.length === 1
      ? this.#mcast(groups[0].number, service, data, tag)
      : this.#native.mcastGroups(groups.map((group) => group.number), service, data, tag)
  }

  /** Before anything is sent, so that it is certain that nothing was. */
  #check (groups, service) {
    for (const group of groups) group._checkOpen()
    if (groups.length > 1) checkSeveral(groups)
    if (this.refusal !== undefined) throw this.refusal
    if (service & SAME_VIEW) checkViews(groups, service)
  }

  /** Not behind what waits: whether it was accepted. */
  tryMcast (groups, data, options) {
    const service = serviceOf(options)
    const bytes = bytesOf(data)
    this.#check(groups, service)
    const mustWait = groups.some((group) => group.waiting.size > 0)
    const result = mustWait ? status.EAGAIN : this.#hand(groups, service, bytes, 0)
    if (result === status.OK) return true
    if (result !== status.EAGAIN) throw refused(result, groups, service, bytes.length)
    this.needRoom(groups)
    return false
  }

  /** `drain` is to come. */
  needRoom (groups) {
    for (const group of groups) this.#needing.add(group)
    this.#onAwaited()
  }

  needsRoom (group) {
    return this.#needing.has(group)
  }

  mcast (groups, data, options) {
    return new Promise((resolve, reject) => {
      const service = serviceOf(options)
      const bytes = bytesOf(data)
      const signal = options?.signal
      checkSignal(signal)
      signal?.throwIfAborted()
      this.#check(groups, service)
      const send = new Send(groups, service, bytes, this.nextTag(), resolve, reject)
      if (groups.some((group) => group.waiting.size > 0) || !this.#accept(send)) this.#wait(send)
      if (signal !== undefined && !send.isSettled) this.#listen(send, signal)
      this.#onAwaited()
    })
  }

  /** Whether its fate is settled or will be told; else it has to wait for room. */
  #accept (send) {
    if (send.viewHasChanged) {
      send.fail(viewChanged())
      return true
    }
    const result = this.#hand(send.groups, send.service, send.data, send.tag)
    if (result === status.EAGAIN) return false
    if (result !== status.OK) {
      send.fail(refused(result, send.groups, send.service, send.data.length))
    } else if (!(send.service & NO_SELF) || send.hasReceipt) {
      this.#pending.set(send.tag, send)
    } else {
      send.succeed(0)
    }
    return true
  }

  #wait (send) {
    const len = send.data.length
    if (this.#waiting.size >= WAITING_MAX || this.#waitingBytes + len > WAITING_BYTES_MAX) {
      throw fromStatus(status.EAGAIN, `${this.#waiting.size} messages wait for room to send ` +
        'already: await some of them before sending more')
    }
    // The caller may write to its own again.
    send.data = Buffer.from(send.data)
    this.#waitingBytes += len
    this.#waiting.add(send)
    send.places = send.groups.map((group) => group.waiting.add(send))
  }

  #waitsNoMore (send) {
    this.#waiting.delete(send)
    this.#waitingBytes -= send.data.length
    send.places.forEach((place, at) => send.groups[at].waiting.remove(place))
  }

  #listen (send, signal) {
    send.stopListening = onAbort(signal, () => {
      let freed
      if (!this.#pending.delete(send.tag)) {
        if (!this.#waiting.has(send)) return
        for (const group of send.groups) if (group.waiting.first === send) this.#freed.add(group)
        this.#waitsNoMore(send)
        freed = this.#flushFreed
      }
      send.fail(signal.reason)
      return freed
    })
  }

  /** What is behind those that were first in these groups, and wait no more. */
  #flushFreed = () => {
    const groups = [...this.#freed]
    this.#freed.clear()
    for (const group of groups) this.flush(group)
  }

  /** There may be room for what waits, in order. */
  flush (group) {
    const groups = [group]
    for (let next = groups.pop(); next !== undefined; next = groups.pop()) {
      for (let send = next.waiting.first; send !== undefined; send = next.waiting.first) {
        if (!send.isFirst || !this.#accept(send)) break
        this.#waitsNoMore(send)
        for (const other of send.groups) if (other !== next) groups.push(other)
      }
      if (next.waiting.size === 0) this.#hasRoom(next)
    }
  }

  /** Of several groups only the one that had no room is told of: so all try again. */
  tellRoom () {
    for (const group of this.#needing) if (group.waiting.size === 0) this.#hasRoom(group)
  }

  #hasRoom (group) {
    if (this.#needing.delete(group)) group._drained()
    group._sentAll()
  }

  /** An own message was delivered, or a receipt says that it was. */
  settle (tag, sequence) {
    const send = this.#pending.get(tag)
    if (send === undefined) return
    this.#pending.delete(tag)
    send.succeed(sequence)
  }

  settleReceipt (tag, number) {
    if (number === status.OK) return this.settle(tag, 0)
    const send = this.#pending.get(tag)
    if (send === undefined) return
    this.#pending.delete(tag)
    send.fail(fromStatus(number))
  }

  /** Of a group that has ended: gives those that may have room now, since others wait no more. */
  failAll (error, group) {
    for (const send of this.#pending.values()) {
      if (!send.groups.includes(group)) continue
      this.#pending.delete(send.tag)
      send.fail(error)
    }
    const freed = this.failWaiting(error, group)
    if (this.#needing.delete(group)) group._drained(error)
    return freed
  }

  /** Of a group, what was not sent; gives the same. */
  failWaiting (error, group) {
    const freed = new Set()
    for (const send of group.waiting.all()) {
      this.#waitsNoMore(send)
      send.fail(error)
      for (const other of send.groups) if (other !== group) freed.add(other)
    }
    return freed
  }

  /** Of all groups: the connection has ended, or nothing more is read. */
  failEvery (error) {
    for (const send of this.#pending.values()) send.fail(error)
    this.#pending.clear()
    const groups = new Set()
    for (const send of this.#waiting) {
      for (const group of send.groups) groups.add(group)
      send.fail(error)
    }
    this.#waiting.clear()
    this.#waitingBytes = 0
    for (const group of groups) group.waiting.clear()
    const needing = [...this.#needing]
    this.#needing.clear()
    for (const group of needing) group._drained(error)
    for (const group of groups) group._sentAll()
  }
}

/** Why the library does not take a message. */
function refused (number, groups, service, len) {
  const names = groups.map(({ name }) => shown(name)).join(', ')
  if (number === status.EMSGSIZE) {
    const limit = (service & 0xff) === UNRELIABLE
      ? 'an unreliable one has 1024 at most, less what several groups take: send it by another ' +
        'service, or in parts'
      : 'the engine takes less: as many as its setting message.len_max says, 1 MiB if it is not ' +
        'set. Raise that on all nodes, or send in parts'
    return fromStatus(number, `this message to ${names} has ${len} bytes, and ${limit}`)
  }
  if (number === status.EINVAL && groups.length > 1) {
    return fromStatus(number, `one message goes to groups of one domain, which ${names} are not ` +
      'of: send one to those of each')
  }
  return fromStatus(number, `this message to ${names} is not sent: ` +
    fromStatus(number).message)
}

function viewChanged () {
  return fromStatus(status.EVIEW, 'the view has changed: the message was not sent, since it is ' +
    'for the view that you saw last; read on (for await) to see the present one')
}

/** The library goes by the view that was received last, which the program may not have read yet. */
function checkViews (groups, service) {
  const outside = groups.find((group) => group.unread === undefined || group.sendOnly)
  if (outside !== undefined) {
    throw invalid(`sameView is for members, and this is none of ${shown(outside.name)}: join it ` +
      'without sendOnly, or send without sameView')
  }
  if ((service & 0xff) === UNRELIABLE) {
    throw invalid('an unreliable message has no place in the order, and so no view: send it ' +
      'without sameView, or by another service')
  }
  if (groups.some(({ unread }) => unread.wasRead && unread.views > 0)) throw viewChanged()
}

function checkSeveral (groups) {
  if (groups.length > GROUPS_MAX) {
    throw invalid(`a message goes to ${GROUPS_MAX} groups at most, not ${groups.length}: send ` +
      'several')
  }
  if (new Set(groups).size < groups.length) {
    const twice = groups.find((group, at) => groups.indexOf(group) < at)
    throw invalid(`group ${shown(twice.name)} is twice in the list: name each once`)
  }
  const peer = groups.find(({ member }) => member !== undefined)
  if (peer !== undefined) {
    throw invalid(`${shown(peer.name)} in the list is one member, no group: send to it alone`)
  }
}

module.exports = { Outbox }
