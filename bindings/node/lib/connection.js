'use strict'
// Connections: what the session says goes from here to groups and promises.

const EventEmitter = require('node:events')
const native = require('./native')
const { fromFailure, fromStatus, invalid, isFailure, shown, status } = require('./failure')
const { Address, Group, Peer } = require('./group')
const { Inbox, kind } = require('./inbox')
const { checkMember, memberOf } = require('./member')
const {
  checkJoin, checkKeys, checkLimits, checkName, fileOf, isPlain, settingsOf
} = require('./options')
const { Outbox } = require('./outbox')
const { Pulse } = require('./pulse')
const { checkSignal, onAbort, withSignal } = require('./signals')
const { Unread, level } = require('./unread')

/** Batches in one go, before other things of the loop have their turn. */
const ROUNDS = 4
const SEND_ONLY = 1
/** So often it looks how things are, while nothing is read. */
const LOOKING_MS = 250

const figures = [
  'sentMessages', 'sentBytes', 'sendAgain', 'receivedMessages', 'receivedBytes', 'views',
  'sendRingUsed', 'sendRingSize', 'receiveRingUsed', 'receiveRingSize', 'lagNs', 'reconnects'
]

/**
 * A session with an engine. `suspended`, `resumed`, `close`; `error`, if it ends with one and
 * somebody listens; `stalled`: reading has stopped, since events are unread.
 */
class Connection extends EventEmitter {
  #session
  #inbox
  #outbox
  #groups = new Map()
  #direct
  /** Leaves, and queries by tag. */
  #leaving = new Map()
  #queries = new Map()
  #hasEnded = false
  #isPaused = false
  #hasWarned = false
  #self
  /** Queues that are full. */
  #crowded = new Set()
  /** Groups with room, told of in this batch. */
  #flushing = new Set()
  /** While it is not read. */
  #looking

  constructor (session, limits) {
    super()
    if (typeof session?.watch !== 'function') throw invalid('connections are made by connect()')
    this.#session = session
    this.#inbox = new Inbox(session)
    this.#outbox = new Outbox(session, () => this.#readOn())
    this.#direct = new Unread('the connection', limits, this.#onLevel)
    const result = session.watch((broken) => this.#receive(broken))
    if (result !== status.OK) throw fromStatus(result)
  }

  /** Who this is; another member after each `resumed`. */
  get self () {
    const parts = this.#session.member()
    if (Array.isArray(parts)) this.#self = memberOf(parts[0], parts[1])
    return this.#self
  }

  /** Whether it has ended. */
  get closed () {
    return this.#hasEnded
  }

  async join (name, options) {
    checkName(name)
    checkJoin(options)
    options?.signal?.throwIfAborted()
    this.#check()
    if (this.#outbox.refusal !== undefined) throw this.#outbox.refusal
    const isSendOnly = options?.sendOnly === true
    const made = this.#session.join(name, isSendOnly ? SEND_ONLY : 0)
    const number = this.#made(made, {
      [status.EEXIST]: `group ${shown(name)} was joined already: use that one, or wait until it ` +
        'has been left (await group.leave())'
    })
    const unread = new Unread(`group ${shown(name)}`, options, this.#onLevel)
    const group = new Group(this.#parts(), number, name, unread, isSendOnly)
    this.#groups.set(number, group)
    if (isSendOnly) return group
    const joined = new Promise((resolve, reject) => group._whenJoined(resolve, reject))
    this.#readOn()
    const abandon = () => group.leave().catch(() => {})
    try {
      return await withSignal(joined, options?.signal, abandon)
    } catch (error) {
      // Nobody has the group.
      abandon()
      throw error
    }
  }

  peer (member) {
    checkMember(member)
    this.#check()
    const { node, session } = memberOf(`${BigInt(member.node)}`, `${BigInt(member.session)}`)
    const number = this.#made(this.#session.peer(node, session), {
      [status.EEXIST]: `there is an address for ${node}/${session} already: use that one, or ` +
        'leave it before (await peer.leave())',
      [status.EINVAL]: `nobody can be ${node}/${session}: the node of a member is 1 to ` +
        '4294967295, and its session 1 or more; take a member of a view, or the sender of a message'
    })
    const peer = new Peer(this.#parts(), number, memberOf(node, session))
    this.#groups.set(number, peer)
    return peer
  }

  #parts () {
    return { connection: this, native: this.#session, outbox: this.#outbox }
  }

  /** Its number, or an error, with a better sentence if there is one for it. */
  #made (made, sentences) {
    if (typeof made === 'number') return made
    throw fromFailure({ ...made, message: sentences[made.status] ?? made.message })
  }

  #check () {
    if (this.#hasEnded) throw fromStatus(status.ECLOSED, 'the connection was closed: open another')
  }

  mcast (groups, data, options) {
    try {
      return this.#outbox.mcast(this.#own(groups), data, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  tryMcast (groups, data, options) {
    return this.#outbox.tryMcast(this.#own(groups), data, options)
  }

  #own (groups) {
    const isOwn = (group) => group instanceof Address && group.connection === this
    const isList = Array.isArray(groups) && groups.length > 0
    // Not the list itself, whose every() passes over holes.
    if (!isList || ![...groups].every(isOwn)) {
      throw invalid('a message goes to a list of one or more groups of this connection')
    }
    return [...groups]
  }

  async query (question, options) {
    checkSignal(checkKeys('query()', options, ['signal'])?.signal)
    options?.signal?.throwIfAborted()
    this.#check()
    if (this.#outbox.refusal !== undefined) throw this.#outbox.refusal
    const json = jsonOf(question)
    const tag = this.#outbox.nextTag()
    const result = this.#session.query(json, tag)
    if (result !== status.OK) throw unanswered(result, json)
    const answered = new Promise((resolve, reject) => {
      this.#queries.set(tag, { json, parts: [], resolve, reject })
    })
    this.#readOn()
    return await withSignal(answered, options?.signal, () => this.#queries.delete(tag))
  }

  memberName (member) {
    checkMember(member)
    const name = this.#session.memberName(member.node, member.session)
    if (typeof name === 'string') return name
    throw fromStatus(name)
  }

  stats () {
    const numbers = this.#session.stats()
    if (!Array.isArray(numbers)) throw fromStatus(numbers)
    return Object.fromEntries(figures.map((figure, at) => [figure, numbers[at]]))
  }

  ref () {
    this.#session.setRef(true)
    return this
  }

  unref () {
    this.#session.setRef(false)
    return this
  }

  [Symbol.asyncIterator] () {
    return this.#direct.open(false)
  }

  async close () {
    this.#finish(undefined)
  }

  [Symbol.asyncDispose] () {
    return this.close()
  }

  /** For this package: a group is being left. */
  _awaits (group, leaving) {
    this.#leaving.set(group, leaving)
    this.#readOn()
  }

  /** For this package: that cannot be asked for. */
  _cannotLeave (group, error) {
    this.#leaving.get(group)?.reject(error)
    this.#leaving.delete(group)
  }

  #onLevel = (unread) => {
    if (unread.level === level.ROOM || unread.isEnding) this.#crowded.delete(unread)
    else this.#crowded.add(unread)
    this.#readOn()
  }

  get #isAwaited () {
    if (this.#outbox.awaited + this.#leaving.size + this.#queries.size > 0) return true
    for (const group of this.#groups.values()) if (group._isJoining) return true
    return false
  }

  /** The fullest queue, if one is full. */
  get #fullest () {
    let fullest
    for (const unread of this.#crowded) if (!(fullest?.level >= unread.level)) fullest = unread
    return fullest
  }

  /**
   * Whether to read. Where that would need more room than there is, nothing waits for it, unless
   * there is a reader, who has taken something since the last look.
   */
  #mayRead (isLook = false) {
    const fullest = this.#fullest
    if (fullest?.level !== level.OVERFULL) {
      this.#outbox.refusal = undefined
      return fullest === undefined || this.#isAwaited
    }
    if (fullest.reader === null || (isLook && fullest.isStuck)) {
      this.#outbox.refusal = fullest.tooMany('Nothing was sent')
      if (this.#isAwaited) this.#failAwaited(fullest.tooMany())
    }
    return false
  }

  #failAwaited (error) {
    for (const group of this.#groups.values()) group._joinFails?.(error)
    this.#outbox.failEvery(error)
    this.#failAsked(error)
  }

  #failAsked (error) {
    const asked = [...this.#leaving.values(), ...this.#queries.values()]
    this.#leaving.clear()
    this.#queries.clear()
    for (const { reject } of asked) reject(error)
  }

  #readOn () {
    if (this.#isPaused && !this.#hasEnded && this.#mayRead()) {
      this.#isPaused = false
      clearInterval(this.#looking)
      this.#session.resume()
    }
  }

  #pause () {
    if (this.#isPaused || this.#hasEnded) return
    this.#isPaused = true
    this.#session.pause()
    const pulse = new Pulse(this.#session)
    this.#looking = setInterval(() => this.#look(pulse), LOOKING_MS).unref()
    const fullest = this.#fullest
    if (fullest.reader === null && !this.#hasWarned) {
      this.#hasWarned = true
      process.emitWarning(fullest.tooMany().message, { type: 'AnasaziWarning', code: 'ANZ_ESLOW' })
    }
    process.nextTick(() => this.emit('stalled'))
  }

  #look (pulse) {
    this.#mayRead(true)
    const most = this.#isPaused ? pulse.most : 0
    if (most > 0) pulse.took(this.#receiveBatch(most))
  }

  /** The loop calls it, as long as there is something to receive. */
  #receive (broken) {
    for (let round = 0; round < ROUNDS && !this.#hasEnded; round++) {
      if (!this.#mayRead() && broken === 0) return this.#pause()
      if (this.#receiveBatch() === 0) break
    }
    if (this.#hasEnded) return
    if (broken !== 0) {
      const why = `the loop watches the connection no more (${broken})`
      this.#finish(fromStatus(status.ECLOSED, why))
    } else if (!this.#mayRead()) {
      this.#pause()
    }
  }

  /** How many events there were; 0 at its end as well. */
  #receiveBatch (most) {
    let count
    try {
      count = this.#inbox.receive(most)
    } catch (cause) {
      // What the batch had is lost: there is no going on.
      count = status.ECLOSED
      process.nextTick(() => { throw cause })
    }
    if (count < 0) {
      this.#finish(fromStatus(count))
      return 0
    }
    for (let at = 0; at < count && !this.#hasEnded; at++) {
      try {
        this.#take(at)
      } catch (error) {
        // Not without the rest of the batch.
        process.nextTick(() => { throw error })
      }
    }
    this.#flush()
    return count
  }

  /** After a batch, since the library goes by the last view of it. */
  #flush () {
    if (this.#flushing.size === 0) return
    this.#outbox.tellRoom()
    for (const group of this.#flushing) this.#outbox.flush(group)
    this.#flushing.clear()
  }

  #take (at) {
    const inbox = this.#inbox
    const group = this.#groups.get(inbox.group(at))
    switch (inbox.kind(at)) {
      case kind.MESSAGE: return this.#takeMessage(at, group)
      case kind.VIEW: {
        const view = inbox.view(at, 'view')
        group?._sees(view)
        return group?.unread?.push(view)
      }
      case kind.TRANSITIONAL:
        return group?.unread?.push(inbox.view(at, 'transitional'))
      case kind.GAP:
        return this.#takeGap(group, { type: 'gap', skipped: inbox.sequence(at) })
      case kind.WRITABLE: return group && this.#flushing.add(group)
      case kind.RECEIPT: return this.#outbox.settleReceipt(inbox.tag(at), inbox.status(at))
      case kind.REPLY: return this.#takeReply(at)
      case kind.LEFT: return group && this.#takeLeft(at, group)
      case kind.SUSPENDED: return this.#takeSuspended(at)
      case kind.RESUMED: return this.#tellAll({ type: 'resumed', self: inbox.sender(at) })
      case kind.CLOSED: return this.#finish(this.#why(at))
    }
  }

  #takeMessage (at, group) {
    const inbox = this.#inbox
    const numbers = inbox.groups(at)
    const groups = numbers === undefined
      ? group?.asList ?? []
      : Object.freeze(numbers.map((number) => this.#groups.get(number)).filter(Boolean))
    const message = {
      type: 'message',
      sender: inbox.sender(at),
      data: inbox.data(at),
      seq: inbox.sequence(at),
      service: inbox.service(at),
      groups
    }
    if (groups.length === 0) this.#direct.pushLossy(message)
    else for (const { unread } of groups) unread?.push(message)
    const tag = inbox.tag(at)
    if (tag !== 0) this.#outbox.settle(tag, message.seq)
  }

  #takeGap (group, event) {
    if (group === undefined) this.#direct.pushLossy(event)
    else group.unread?.push(event)
  }

  #takeReply (at) {
    const query = this.#queries.get(this.#inbox.tag(at))
    if (query === undefined) return
    query.parts.push(this.#inbox.data(at))
    if (this.#inbox.hasMore(at)) return
    this.#queries.delete(this.#inbox.tag(at))
    const number = this.#inbox.status(at)
    if (number < 0) return query.reject(unanswered(number, query.json))
    try {
      query.resolve(JSON.parse(Buffer.concat(query.parts)))
    } catch (error) {
      query.reject(error)
    }
  }

  #takeSuspended (at) {
    // Of messages the library tells by receipts; nobody is left to answer what was asked.
    const lost = fromStatus(status.ELOST, 'the engine went away before it answered: ask again')
    for (const query of this.#queries.values()) query.reject(lost)
    this.#queries.clear()
    this.#tellAll({ type: 'suspended', reason: this.#inbox.text(at) })
  }

  #takeLeft (at, group) {
    this.#groups.delete(group.number)
    const leaving = this.#leaving.get(group)
    this.#leaving.delete(group)
    this.#crowded.delete(group.unread)
    for (const other of group._end(this.#whyLeft(at, group))) this.#flushing.add(other)
    leaving?.resolve()
  }

  /** Why something ends, or undefined where that was asked for. */
  #why (at) {
    const number = this.#inbox.status(at)
    return number < 0 ? fromStatus(number, this.#inbox.text(at)) : undefined
  }

  /** The library says what is wrong, though not of which group. */
  #whyLeft (at, group) {
    const why = this.#why(at)
    if (why === undefined) return undefined
    const what = `${group.member === undefined ? 'group' : 'the address'} ${shown(group.name)}`
    const how = group.view === undefined ? 'cannot be had' : 'has ended'
    return fromStatus(why.errno, `${what} ${how}: ${why.message}`)
  }

  #tellAll (event) {
    for (const { unread } of this.#groups.values()) unread?.push(event)
    process.nextTick(() => this.emit(event.type, event.reason ?? event.self))
  }

  /** With an error where it ends by itself. */
  #finish (error) {
    if (this.#hasEnded) return
    // The last one stays.
    this.#self = this.self
    this.#hasEnded = true
    clearInterval(this.#looking)
    this.#session.close()
    const why = error ?? fromStatus(status.ECLOSED, 'the connection was closed')
    for (const [group, leaving] of this.#leaving) {
      this.#leaving.delete(group)
      if (error === undefined) leaving.resolve()
      else leaving.reject(error)
    }
    this.#outbox.failEvery(why)
    for (const group of this.#groups.values()) {
      group._joinFails?.(why)
      group._end(error)
    }
    this.#groups.clear()
    this.#failAsked(why)
    this.#direct.end(error)
    process.nextTick(() => {
      if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error)
      this.emit('close', error)
    })
  }
}

function jsonOf (question) {
  if (!isPlain(question)) throw invalid(`a query is an object, not ${shown(question)}`)
  let json
  try {
    json = JSON.stringify(question)
  } catch (error) {
    throw invalid(`this query cannot be made JSON: ${error.message}`)
  }
  if (typeof json === 'string') return json
  throw invalid('this query cannot be made JSON: its toJSON() gives nothing')
}

/** Why there is no answer to a question. */
function unanswered (number, json) {
  switch (number) {
    case status.EAGAIN:
      return fromStatus(number, 'the engine is not there now, or has too much to answer: ask ' +
        'again once the connection has resumed')
    case status.EINVAL:
      return invalid(`the engine knows no such question as ${shown(json)}: it answers ` +
        '{ query: \'status\' } and what else the console asks')
    case status.EMSGSIZE:
      return fromStatus(number, `this query has ${Buffer.byteLength(json)} bytes as JSON, which ` +
        'is more than the engine takes: ask for less at once')
    default:
      return fromStatus(number)
  }
}

async function connect (url, options) {
  const isUrl = url === undefined || url === null || typeof url === 'string' || url instanceof URL
  if (!isUrl && typeof url === 'object' && options === undefined) return connect(undefined, url)
  if (!isUrl) throw invalid(`a URL is text, not ${shown(url)}`)
  checkKeys('connect()', options,
    ['settings', 'configFile', 'unreadEventsMax', 'unreadBytesMax', 'signal'])
  checkLimits(options ?? {})
  const settings = settingsOf(options)
  checkSignal(options?.signal)
  options?.signal?.throwIfAborted()
  const file = fileOf(options)
  return await new Promise((resolve, reject) => {
    let stop = () => {}
    const opening = native.open(url?.toString(), file, settings, () => {
      stop()
      const made = opening.take()
      try {
        if (isFailure(made)) throw fromFailure(made)
        resolve(new Connection(made, options))
      } catch (error) {
        reject(error)
      }
    })
    if (isFailure(opening)) return reject(fromFailure(opening))
    if (options?.signal === undefined) return
    stop = onAbort(options.signal, () => {
      opening.abandon()
      reject(options.signal.reason)
    })
  })
}

module.exports = { Connection, connect }
