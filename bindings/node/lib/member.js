'use strict'
// Members: one frozen object each, so that `===` compares them.

const { invalid, shown } = require('./errors')

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

function checkMember (member) {
  const isNumber = (text) => typeof text === 'string' && /^[0-9]{1,20}$/.test(text)
  if (!isNumber(member?.node) || !isNumber(member?.session)) {
    throw invalid(`a member has a node and a session, in decimal, which ${shown(member)} has ` +
      'not: take one of a view, or the sender of a message')
  }
}

module.exports = { Member, memberOf, checkMember }
