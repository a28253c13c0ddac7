'use strict'
// Whether an engine still serves a session that is not read. What ends a session comes behind all
// that is in its ring, and the ring is not read while events are unread. But an engine that serves
// a session whose ring is full puts something in the place of what is taken out.

const RING_USED = 8
const RING_SIZE = 9
/** So often it is tried, ever more rarely, since each time something more is unread. */
const BEATS_MAX = 32
const LOOKS_MAX = 64
const TAKEN_MAX = 256

class Pulse {
  #session
  /** How full the ring was after something was taken; how much that was. */
  #used
  #taken = 0
  #beats = 0
  #looks = 0

  constructor (session) {
    this.#session = session
  }

  #ring () {
    const numbers = this.#session.stats()
    return Array.isArray(numbers) ? [numbers[RING_USED], numbers[RING_SIZE]] : [0, 0]
  }

  /** At each look: how many events to take, though there is no room for them. */
  get most () {
    const [used, size] = this.#ring()
    if (this.#used !== undefined && used <= this.#used) {
      this.#taken = Math.min(this.#taken * 2, TAKEN_MAX)
      return this.#taken
    }
    if (this.#used !== undefined) {
      this.#used = undefined
      this.#looks = Math.min(2 ** ++this.#beats, LOOKS_MAX)
    }
    if (this.#beats >= BEATS_MAX || used * 2 < size || --this.#looks > 0) return 0
    this.#taken = 1
    return 1
  }

  /** So many were taken. */
  took (count) {
    this.#used = count > 0 ? this.#ring()[0] : undefined
  }
}

module.exports = { Pulse }
