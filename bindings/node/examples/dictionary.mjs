// A replicated dictionary: all apply the same commands in the same order. It speaks with the
// replicas in other languages (kv.c), whose head comment says how states are told and taken.
//
//     node dictionary.mjs GROUP [URL]
//
// Commands: set KEY VALUE | get KEY | dump | await REPLICAS VERSION
import { EventEmitter, once } from 'node:events'
import readline from 'node:readline'
import { connect } from 'anasazi'

const [name, url] = process.argv.slice(2)
if (name === undefined) {
  console.error('usage: node dictionary.mjs GROUP [URL]')
  process.exit(2)
}
const entries = new Map()
const changes = new EventEmitter()
let version = 0 // commands applied
let replicas = 0
let meeting // the view in which states are told
let states = [] // told in it
let waiting = [] // commands, until it is over

function apply (command) {
  const set = /^set\s*(\S{1,31})\s*([^\n]{1,95})/.exec(command)
  if (set === null) return
  version++
  entries.set(set[1], set[2])
}

const printed = () => [...entries].map(([key, value]) => `set ${key} ${value}\n`).join('')

function see (view) {
  replicas = view.members.length
  console.log(`* ${replicas} here: ${view.reason}`)
  if (view.joined.length === 0 && meeting === undefined) return
  waiting.splice(0).forEach(apply) // of a meeting that this view interrupts
  const [ring, , , ordinal, below] = view.id.split('.').map(BigInt)
  meeting = String(BigInt.asUintN(64, (ring << 32n) ^ (ordinal << 8n) ^ below))
  states = []
  // Not awaited: this loop has to go on for it to come. One that is lost is told anew.
  group.mcast(`state ${meeting} ${version}\n${printed()}`).catch(() => {})
}

function hear (message) {
  const state = /^state (\d+) (\d+)\n/.exec(message)
  if (state === null) return meeting === undefined ? apply(message) : waiting.push(message)
  if (state[1] !== meeting) return // of a meeting that a later view has interrupted
  states.push({ version: Number(state[2]), text: message.slice(state[0].length) })
  if (states.length < replicas) return
  const best = states.reduce((best, other) => other.version > best.version ? other : best)
  entries.clear()
  best.text.split('\n').forEach(apply)
  version = best.version
  meeting = undefined
  console.log(`* ${replicas} agree, after ${version} commands`)
  waiting.splice(0).forEach(apply)
}

async function obey (line) {
  const [command, first, second] = line.split(/\s+/)
  if (command === 'set') await group.mcast(line)
  else if (command === 'get') console.log(entries.get(first) ?? '(none)')
  else if (command === 'dump') console.log(`${printed()}version ${version}`)
  else if (command === 'await') {
    const isSo = () => meeting === undefined && replicas === +first && version >= +second
    while (!isSo()) await once(changes, 'change')
  }
}

const connection = await connect(url)
const group = await connection.join(name)
async function obeyAll () {
  for await (const line of readline.createInterface({ input: process.stdin })) await obey(line)
  await connection.close()
}
const obeying = obeyAll()
for await (const event of group) {
  if (event.type === 'view') see(event)
  else if (event.type === 'message') hear(event.data.toString())
  changes.emit('change')
}
await obeying
