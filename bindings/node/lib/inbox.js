'use strict'
// Batches of events, as the addon lays them out (src/batch.rs), made objects.

const { markAsUntransferable } = require('node:worker_threads')
const { memberOf } = require('./member')

const ROWS = 256
const COLUMNS = 10
/** Memory for small messages: so much at once, as Node has it for its own buffers. */
const SLAB_LEN = 64 * 1024
const SLAB_LEFT_MIN = 8 * 1024
/** As many are numbered, until the addon begins anew. */
const MEMBERS_MAX = 4096

const kind = {
  MESSAGE: 1,
  VIEW: 2,
  TRANSITIONAL: 3,
  WRITABLE: 4,
  LEFT: 5,
  SUSPENDED: 6,
  RESUMED: 7,
  CLOSED: 8,
  RECEIPT: 9,
  REPLY: 10,
  GAP: 11
}

const causes = [
  'unknown', 'join', 'leave', 'disconnect', 'network', 'merge', 'demoted', 'removed'
]
const services = ['unreliable', 'reliable', 'fifo', 'causal', 'agreed', 'safe']

function newSlab () {
  const slab = Buffer.allocUnsafeSlow(SLAB_LEN)
  // The memory of many messages: none of them may take it to another thread.
  markAsUntransferable(slab.buffer)
  return slab
}

/** Receives. After `receive()` the getters tell of the event `at`. */
class Inbox {
  #native
  #rows = new Float64Array(ROWS * COLUMNS)
  #rowBytes = Buffer.from(this.#rows.buffer)
  #slab = newSlab()
  #used = 0
  #members = []
  /** Of the present batch. */
  #pieces
  #start
  #extras

  constructor (native) {
    this.#native = native
  }

  /** How many events there are, `most` at most, or a status. */
  receive (most = ROWS) {
    if (this.#members.length > MEMBERS_MAX) {
      this.#members = []
      this.#native.forgetMembers()
    }
    if (SLAB_LEN - this.#used < SLAB_LEFT_MIN) {
      this.#slab = newSlab()
      this.#used = 0
    }
    const extras = []
    const room = this.#slab.subarray(this.#used)
    const count = this.#native.receive(this.#rowsOf(most), room, extras)
    this.#extras = extras
    for (let at = 0, fresh = extras[1] ?? []; at < fresh.length; at += 2) {
      this.#members.push(memberOf(fresh[at], fresh[at + 1]))
    }
    this.#pieces = extras[0]
    this.#start = this.#used
    if (this.#pieces === undefined) this.#skipUsed(count)
    else for (const piece of this.#pieces) markAsUntransferable(piece.buffer)
    return count
  }

  #rowsOf (most) {
    return most < ROWS ? this.#rowBytes.subarray(0, most * COLUMNS * 8) : this.#rowBytes
  }

  /** What the batch has used of the slab is not used again. */
  #skipUsed (count) {
    for (let at = count - 1; at >= 0; at--) {
      const place = this.#rows[at * COLUMNS + 7]
      if (place < 0) continue
      this.#used += place + this.#rows[at * COLUMNS + 8]
      break
    }
  }

  kind (at) { return Math.abs(this.#rows[at * COLUMNS]) }
  hasMore (at) { return this.#rows[at * COLUMNS] < 0 }
  group (at) { return this.#rows[at * COLUMNS + 1] }
  status (at) { return this.#rows[at * COLUMNS + 2] }
  service (at) { return services[this.#rows[at * COLUMNS + 3]] ?? 'unknown' }
  sender (at) { return this.#members[this.#rows[at * COLUMNS + 4]] }
  sequence (at) { return this.#rows[at * COLUMNS + 5] }
  tag (at) { return this.#rows[at * COLUMNS + 6] }

  data (at) {
    const place = this.#rows[at * COLUMNS + 7]
    if (place < 0) return this.#extras[-place]
    const len = this.#rows[at * COLUMNS + 8]
    if (this.#pieces === undefined) {
      const start = this.#start + place
      return this.#slab.subarray(start, start + len)
    }
    const start = place % SLAB_LEN
    return this.#pieces[(place - start) / SLAB_LEN].subarray(start, start + len)
  }

  text (at) { return this.data(at).toString() }

  /** The numbers of the groups of a message to several; else undefined. */
  groups (at) {
    const place = this.#rows[at * COLUMNS + 9]
    return place > 0 ? this.#extras[place] : undefined
  }

  view (at, type) {
    const parts = this.#extras[this.#rows[at * COLUMNS + 9]]
    const members = (numbers) => Object.freeze(numbers.map((number) => this.#members[number]))
    // It is the same object for who reads it and for `group.view`.
    return Object.freeze({
      type,
      id: parts.id,
      cause: causes[parts.cause] ?? 'unknown',
      members: members(parts.members),
      joined: members(parts.joined),
      left: members(parts.left),
      together: members(parts.together),
      sets: Object.freeze(parts.sets),
      reason: parts.reason
    })
  }
}

module.exports = { Inbox, kind, services }
