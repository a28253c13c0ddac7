'use strict'
// Messages that wait for room, and messages whose fate is awaited.

const { fromStatus, invalid, shown, status } = require('./errors')
const { services } = require('./inbox')
const { checkSignal } = require('./options')

/** So many bytes and messages may wait for room. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
const WAITING_MAX = 65536

const NO_SELF = 0x100
const SAME_VIEW = 0x400
const priorities = { high: 0x1000, normal: 0, bulk: 0x2000 }

/** The service and its flags, as a number. */
function serviceOf (options) {
  if (options === undefined) return 4
  if (options === null || typeof options !== 'object') {
    throw invalid(`options of a message are an object, not ${shown(options)}`)
  }
  const service = services.indexOf(options.service ?? 'agreed')
  if (service < 0) {
    const all = services.join(', ')
    throw invalid(`no service is called ${shown(options.service)}: there are ${all}`)
  }
  const priority = priorities[options.priority ?? 'normal']
  if (priority === undefined || typeof (options.priority ?? '') !== 'string') {
    throw invalid(`no priority is called ${shown(options.priority)}: there are high, normal, bulk`)
  }
  const flags = (options.sameView ? SAME_VIEW : 0) | (options.self === false ? NO_SELF : 0)
  return service | priority | flags
}

/** The bytes of a message. Text is sent as UTF-8. */
function bytesOf (data) {
  if (typeof data === 'string') return Buffer.from(data)
  if (data instanceof Uint8Array) return data
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return Buffer.from(data)
  throw invalid(`a message is a Buffer, a typed array, an ArrayBuffer or text, not ${shown(data)}`)
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
  }

  get isFirst () {
    return this.groups.every((group) => group.waiting[0] === this)
  }

  get viewHasChanged () {
    return this.views?.some((id, at) => this.groups[at].view?.id !== id)
  }

  succeed (sequence) {
    this.stopListening?.()
    this.resolve(sequence)
  }

  fail (error) {
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
  #waitingBytes = 0
  #waitingCount = 0

  constructor (native, onAwaited) {
    this.#native = native
    this.#mcast = native.sender()
    this.#onAwaited = onAwaited
  }

  /** How many promises are open. */
  get awaited () {
    return this.#pending.size + this.#waitingCount
  }

  nextTag () {
    return ++this.#lastTag
  }

  #hand (groups, service, data, tag) {
    return groups.length === 1
      ? this.#mcast(groups[0].number, service, data, tag)
      : this.#native.mcastGroups(groups.map((group) => group.number), service, data, tag)
  }

  /** Not behind what waits: whether it was accepted. */
  tryMcast (groups, data, options) {
    const service = serviceOf(options)
    const bytes = bytesOf(data)
    checkViews(groups, service)
    const mustWait = groups.some((group) => group.waiting.length > 0)
    const result = mustWait ? status.EAGAIN : this.#hand(groups, service, bytes, 0)
    if (result === status.OK) return true
    if (result !== status.EAGAIN) throw fromStatus(result)
    for (const group of groups) group.needsDrain = true
    return false
  }

  mcast (groups, data, options) {
    return new Promise((resolve, reject) => {
      const service = serviceOf(options)
      const bytes = bytesOf(data)
      const signal = options?.signal
      checkSignal(signal)
      signal?.throwIfAborted()
      checkViews(groups, service)
      const send = new Send(groups, service, bytes, this.nextTag(), resolve, reject)
      if (groups.some((group) => group.waiting.length > 0) || !this.#accept(send)) this.#wait(send)
      if (signal !== undefined) this.#listen(send, signal)
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
    const isTold = !(send.service & NO_SELF) || send.groups.some((group) => group.hasReceipts)
    if (result !== status.OK) send.fail(fromStatus(result))
    else if (isTold) this.#pending.set(send.tag, send)
    else send.succeed(0)
    return true
  }

  #wait (send) {
    const len = send.data.length
    if (this.#waitingCount >= WAITING_MAX || this.#waitingBytes + len > WAITING_BYTES_MAX) {
      throw fromStatus(status.EAGAIN, `${this.#waitingCount} messages wait for room to send ` +
        'already: await some of them before sending more')
    }
    // The caller may write to its own again.
    send.data = Buffer.from(send.data)
    this.#waitingBytes += len
    this.#waitingCount++
    for (const group of send.groups) group.waiting.push(send)
  }

  #waitsNoMore (send) {
    this.#waitingBytes -= send.data.length
    this.#waitingCount--
    for (const group of send.groups) {
      const at = group.waiting.indexOf(send)
      if (at >= 0) group.waiting.splice(at, 1)
    }
  }

  #listen (send, signal) {
    const abort = () => {
      if (!this.#pending.delete(send.tag)) {
        if (!send.groups[0].waiting.includes(send)) return
        this.#waitsNoMore(send)
      }
      send.fail(signal.reason)
      for (const group of send.groups) this.flush(group)
    }
    signal.addEventListener('abort', abort, { once: true })
    send.stopListening = () => signal.removeEventListener('abort', abort)
  }

  /** There may be room for what waits, in order; whether all of it went. */
  flush (group) {
    for (let send = group.waiting[0]; send !== undefined; send = group.waiting[0]) {
      if (!send.isFirst || !this.#accept(send)) return false
      this.#waitsNoMore(send)
      for (const other of send.groups) if (other !== group) this.flush(other)
    }
    return true
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

  /** Of a group that has ended, or of which nothing more is read. */
  failAll (error, group) {
    const sent = [...this.#pending.values()].filter((send) => send.groups.includes(group))
    for (const send of sent) {
      this.#pending.delete(send.tag)
      send.fail(error)
    }
    for (const send of [...group.waiting]) {
      this.#waitsNoMore(send)
      send.fail(error)
    }
  }
}

function viewChanged () {
  return fromStatus(status.EVIEW, 'the view has changed: the message was not sent, since it is ' +
    'for the view that you saw last; read on (for await) to see the present one')
}

/** The library goes by the view that was received last, which the program may not have read yet. */
function checkViews (groups, service) {
  const unseen = (group) => group.unread?.wasRead && group.unread.views > 0
  if (service & SAME_VIEW && groups.some(unseen)) throw viewChanged()
}

module.exports = { Outbox }
