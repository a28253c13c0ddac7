'use strict'
// `chat`: lines of standard input become messages; messages and views are shown.

const readline = require('node:readline')
const { connect } = require('../lib/index.js')

function show (connection, event) {
  switch (event.type) {
    case 'message':
      return console.log(`[${connection.memberName(event.sender)}] ${event.data}`)
    case 'view':
      return console.log(`* ${event.members.length} here: ${event.reason}`)
    case 'suspended':
      return console.log(`* ${event.reason}`)
    case 'resumed':
      return console.log('* connected again')
  }
}

async function chat (room, { name, url }) {
  const connection = await connect(url)
  const group = await connection.join(room)
  const talk = async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
      if (line === '') continue
      await group.mcast(name === undefined ? line : `${name}: ${line}`)
    }
    await group.leave()
  }
  const talked = talk()
  for await (const event of group) show(connection, event)
  await talked
  await connection.close()
}

module.exports = { chat }
