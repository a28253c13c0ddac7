// Talk in a group: what anybody types reaches all members, in the same order for all.
//
//     node chat.mjs room                                 in two terminals: they find each other
//     node chat.mjs -u shm:/run/anasazi/anasazi.sock -n 10 room     leave after ten messages
import readline from 'node:readline'
import { parseArgs } from 'node:util'
import { connect } from 'anasazi'

const options = { url: { type: 'string', short: 'u' }, count: { type: 'string', short: 'n' } }
const { values, positionals: [room] } = parseArgs({ options, allowPositionals: true })
if (room === undefined) {
  console.error('usage: node chat.mjs [-u URL] [-n MESSAGES] GROUP')
  process.exit(2)
}
let messagesLeft = values.count === undefined ? Infinity : Number(values.count)
const connection = await connect(values.url)
const group = await connection.join(room)

const lines = readline.createInterface({ input: process.stdin })

async function talk () {
  for await (const line of lines) {
    if (!group.closed) await group.mcast(line)
  }
  // What was sent before is delivered before.
  if (messagesLeft === Infinity) await group.leave()
}

function show (event) {
  switch (event.type) {
    case 'view':
      return console.log(`* ${event.members.length} here: ${event.reason}`)
    case 'message':
      console.log(`${connection.memberName(event.sender)}: ${event.data}`)
      if (--messagesLeft === 0) group.leave()
      return
    case 'suspended':
      return console.log(`* ${event.reason}`)
    case 'resumed':
      return console.log('* connected again')
  }
}

const talking = talk().catch((error) => { if (!group.closed) throw error })
try {
  for await (const event of group) show(event)
} catch (error) {
  console.log(`* ${error.code}: ${error.message}`)
}
lines.close()
await talking
await connection.close()
