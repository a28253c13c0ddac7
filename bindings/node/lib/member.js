'use strict'
// Members: one frozen object each, so that `===` compares them.

const { invalid, shown } = require('./failure')

const NUMBER_MAX = 2n ** 64n - 1n

/** Weakly, by "node/session": a member that nobody holds is forgotten. */
const known = new Map()
const forgotten = new FinalizationRegistry((key) => {
  if (known.get(key)?.deref() === undefined) known.delete(key)
})

/** A member of a group. Numbers of 64 bits do not fit a number, and JSON has no bigint: text. */
class Member {
  constructor (node, session) {
    this.node = node
    this.session = session
    Object.freeze(this)
  }
}

/** The member with these numbers, in decimal. */
function memberOf (node, session) {
  const key = `${node}/${session}`
  let member = known.get(key)?.deref()
  if (member === undefined) {
    member = new Member(node, session)
    known.set(key, new WeakRef(member))
    forgotten.register(member, key)
  }
  return member
}

/** Whoever has both numbers will do. */
function checkMember (member) {
  if (member === null || typeof member !== 'object') {
    throw invalid(`a member is taken of a view, or is the sender of a message: ${shown(member)} ` +
      'is none')
  }
  checkNumber('node', member.node)
  checkNumber('session', member.session)
}

function checkNumber (what, number) {
  if (typeof number !== 'string') {
    throw invalid(`the ${what} of a member is text, a number in decimal, and not ` +
      `${shown(number)}: numbers of 64 bits do not fit a number`)
  }
  if (!/^[0-9]{1,20}$/.test(number) || BigInt(number) > NUMBER_MAX) {
    throw invalid(`the ${what} of a member is a whole number in decimal, from 0 to ` +
      `${NUMBER_MAX}, and not ${shown(number)}`)
  }
}

module.exports = { Member, memberOf, checkMember }
