// Who leads: the first member of the view, which is the same at all of them.
//
//     node leader.mjs GROUP [URL]                        in several terminals; end one of them
//
// Commands: await N (until the view has so many members) | leader. It leaves at end of input.
import { EventEmitter, once } from 'node:events'
import readline from 'node:readline'
import { connect } from 'anasazi'

const [name, url] = process.argv.slice(2)
if (name === undefined) {
  console.error('usage: node leader.mjs GROUP [URL]')
  process.exit(2)
}
const connection = await connect(url)
const group = await connection.join(name)
const changes = new EventEmitter()
let members = []

function tell () {
  console.log(`leader ${connection.memberName(members[0])} of ${members.length}`)
}

async function obeyAll () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, count] = line.split(' ')
    if (command === 'leader' && members.length > 0) tell()
    while (command === 'await' && members.length !== Number(count)) await once(changes, 'change')
  }
  await group.leave()
}

const obeying = obeyAll()
for await (const event of group) {
  if (event.type !== 'view') continue
  members = event.members
  tell()
  changes.emit('change')
}
await obeying
await connection.close()
