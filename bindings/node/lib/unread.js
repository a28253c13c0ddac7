'use strict'
// Events that nobody has read yet, and who reads them.

const { fromStatus, status } = require('./failure')
const { Line } = require('./line')

/** So many events and bytes of messages may be unread before reading of the connection stops. */
const EVENTS_MAX = 16384
const BYTES_MAX = 16 * 1024 * 1024
/** The same of messages to a connection alone, until somebody asks for them. */
const UNASKED_EVENTS_MAX = 256
const UNASKED_BYTES_MAX = 1024 * 1024
/** While something is awaited it is read on, up to so many times as much. */
const AWAITED_FACTOR = 2

/** How full: there is room; full; full even though something is awaited. */
const level = { ROOM: 0, FULL: 1, OVERFULL: 2 }

const done = { value: undefined, done: true }

/** A queue with one reader at a time. */
class Unread {
  #events = []
  #head = 0
  #bytes = 0
  #waiters = new Line()
  #hasEnded = false
  #error
  #eventsMax
  #bytesMax
  #onLevel
  #skipped = 0
  #isCut = false
  /** Events that were taken, and how many that were when `isStuck` was last asked for. */
  #taken = 0
  #takenBefore
  /** What it is the queue of, for messages. */
  #what
  level = level.ROOM
  /** Views in it: the reader has not seen the present one while there is one. */
  views = 0
  reader = null
  wasRead = false
  isEnding = false

  /** `onLevel` is called with this whenever it is fuller, or less full, than before. */
  constructor (what, limits, onLevel) {
    this.#what = what
    this.#eventsMax = limits?.unreadEventsMax ?? EVENTS_MAX
    this.#bytesMax = limits?.unreadBytesMax ?? BYTES_MAX
    this.#onLevel = onLevel
  }

  get length () {
    return this.#events.length - this.#head
  }

  push (event) {
    if (this.#waiters.size > 0) {
      this.#waiters.shift().give(event)
      return
    }
    if (this.#isCut) return
    this.#events.push(event)
    if (event.type === 'message') this.#bytes += event.data.length
    else if (event.type === 'view') this.views++
    const full = this.#fullness()
    if (full <= this.level) return
    this.level = full
    this.#isCut = this.isEnding && full === level.OVERFULL
    this.#onLevel(this)
  }

  /**
   * What nobody may ever read: until somebody does, as much as this is kept, and of the rest a
   * `gap` tells how much there was.
   */
  pushLossy (event) {
    const len = event.data?.length ?? 0
    const isFull = this.length >= UNASKED_EVENTS_MAX || this.#bytes + len > UNASKED_BYTES_MAX
    if (this.wasRead || (this.#skipped === 0 && !isFull)) this.push(event)
    else this.#skipped += event.skipped ?? 1
  }

  /** Its group is being left: from now on it holds up nothing, and ends where it is overfull. */
  cutAtEnd () {
    this.isEnding = true
    this.#isCut = this.level === level.OVERFULL
    this.#onLevel(this)
  }

  /** Whether nothing was taken since the last time that this was asked. */
  get isStuck () {
    const isStuck = this.#taken === this.#takenBefore
    this.#takenBefore = this.#taken
    return isStuck
  }

  #fullness () {
    const full = Math.max(this.length / this.#eventsMax, this.#bytes / this.#bytesMax)
    return full >= AWAITED_FACTOR ? level.OVERFULL : full >= 1 ? level.FULL : level.ROOM
  }

  /** Says how many there are, where that is too many. */
  tooMany (consequence = 'What was sent may be delivered all the same') {
    return fromStatus(status.ESLOW, `${this.length} events of ${this.#what} are unread, and ` +
      `reading has stopped: read them (for await). ${consequence}`)
  }

  #took (event) {
    this.#taken++
    if (event.type === 'message') this.#bytes -= event.data.length
    else if (event.type === 'view') this.views--
  }

  /** Only if there is one. */
  shift () {
    const event = this.#events[this.#head]
    this.#events[this.#head++] = undefined
    this.#took(event)
    if (this.#head === this.#events.length) {
      this.#events.length = this.#head = 0
    } else if (this.#head >= 4096 && this.#head * 2 > this.#events.length) {
      this.#events.splice(0, this.#head)
      this.#head = 0
    }
    if (this.level !== level.ROOM) this.#makeRoom()
    return event
  }

  /** All of them, if there are any. */
  takeAll () {
    const events = this.#head === 0 ? this.#events : this.#events.slice(this.#head)
    this.#taken += events.length
    this.#events = []
    this.#head = this.#bytes = this.views = 0
    if (this.level !== level.ROOM) this.#makeRoom()
    return events
  }

  #makeRoom () {
    const half = Math.max(this.length / this.#eventsMax, this.#bytes / this.#bytesMax) <= 0.5
    if (half || (this.level === level.OVERFULL && this.#fullness() === level.ROOM)) {
      this.level = half ? level.ROOM : level.FULL
      this.#onLevel(this)
    }
  }

  /** No more come. With an error: that is what the reader gets after the last event. */
  end (error) {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#error = error
    if (this.#waiters.size > 0) this.#endFor(this.#waiters.shift())
    this.#endWaiting()
  }

  #endFor (waiter) {
    const error = this.#error
    this.#error = undefined
    if (error !== undefined) waiter.reject(error)
    else waiter.resolve(done)
  }

  /** Opens the one reader. `take` is one event for each step, or all that are there. */
  open (takesAll) {
    if (this.reader !== null) {
      throw fromStatus(status.EBUSY, `${this.#what} is being read already: one loop gets all ` +
        'events; end it (break), or let it pass on what others need')
    }
    this.wasRead = true
    if (this.#skipped > 0) this.push({ type: 'gap', skipped: this.#skipped })
    this.#skipped = 0
    this.reader = new Reader(this, takesAll)
    return this.reader
  }

  next (takesAll) {
    // Promises that are resolved already: then a loop over what is there costs little.
    if (this.length > 0) {
      return Promise.resolve({ value: takesAll ? this.takeAll() : this.shift(), done: false })
    }
    return new Promise((resolve, reject) => {
      const give = (event) => resolve({ value: takesAll ? [event] : event, done: false })
      const waiter = { give, resolve, reject }
      if (this.#hasEnded) this.#endFor(waiter)
      else this.#waiters.add(waiter)
    })
  }

  close (reader) {
    if (this.reader !== reader) return
    this.reader = null
    this.#endWaiting()
  }

  #endWaiting () {
    while (this.#waiters.size > 0) this.#waiters.shift().resolve(done)
  }
}

/** An asynchronous iterator, written by hand: a generator takes three times as long. */
class Reader {
  #unread
  #takesAll
  #isOpen = true

  constructor (unread, takesAll) {
    this.#unread = unread
    this.#takesAll = takesAll
  }

  next () {
    return this.#isOpen ? this.#unread.next(this.#takesAll) : Promise.resolve(done)
  }

  return (value) {
    this.#isOpen = false
    this.#unread.close(this)
    return Promise.resolve({ value, done: true })
  }

  throw (error) {
    this.return()
    return Promise.reject(error)
  }

  [Symbol.asyncIterator] () {
    return this
  }

  [Symbol.asyncDispose] () {
    return this.return().then(() => {})
  }
}

module.exports = { Unread, level }
