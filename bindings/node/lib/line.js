'use strict'
// Who waits, in order. A Set would do, but what was deleted at its front is passed over at each
// look at the first one, until the Set is made anew; and so would an array, but what is behind the
// first one is moved when it goes. 60,000 that go one by one take seconds.

/** A list from which anyone may go, at once: each place knows who is before and behind it. */
class Line {
  size = 0
  #ends = {}

  constructor () {
    this.clear()
  }

  get first () {
    return this.#ends.behind.one
  }

  /** At the end of it. Gives the place, for `remove()`. */
  add (one) {
    const place = { one, before: this.#ends.before, behind: this.#ends }
    place.before.behind = place.behind.before = place
    this.size++
    return place
  }

  /** A place that is in it. */
  remove (place) {
    place.before.behind = place.behind
    place.behind.before = place.before
    this.size--
  }

  /** Takes out the first one, if there is one. */
  shift () {
    const { one } = this.#ends.behind
    if (this.size > 0) this.remove(this.#ends.behind)
    return one
  }

  clear () {
    this.#ends.before = this.#ends.behind = this.#ends
    this.size = 0
  }

  /** Those that are there now. */
  all () {
    const all = []
    for (let place = this.#ends.behind; place !== this.#ends; place = place.behind) {
      all.push(place.one)
    }
    return all
  }
}

module.exports = { Line }
