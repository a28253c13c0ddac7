'use strict'
// `chat`: lines of standard input become messages; messages and views are shown.

const readline = require('node:readline')
const { connect } = require('../lib/index.js')

/** What others write is not to command this terminal. */
function plain (text) {
  const code = (character) => `\\x${character.charCodeAt().toString(16).padStart(2, '0')}`
  return `${text}`.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, code)
}

function show (connection, event) {
  switch (event.type) {
    case 'message':
      return console.log(`[${connection.memberName(event.sender)}] ${plain(event.data)}`)
    case 'view':
      return console.log(`* ${event.members.length} here: ${plain(event.reason)}`)
    case 'suspended':
      return console.log(`* ${plain(event.reason)}`)
    case 'resumed':
      return console.log('* connected again')
  }
}

async function talk (group, name) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line !== '') await group.mcast(name === undefined ? line : `${name}: ${line}`)
  }
  // What was sent before is delivered before.
  await group.leave()
}

async function listen (connection, group) {
  for await (const event of group) show(connection, event)
}

async function chat (room, { name, url }) {
  const connection = await connect(url)
  try {
    const group = await connection.join(room)
    await Promise.all([talk(group, name), listen(connection, group)])
  } finally {
    await connection.close()
    process.stdin.destroy()
  }
}

module.exports = { chat }
