// A work queue: anybody puts items in, and each is done by one member. It shares a group with the
// queues in other languages (work_queue.c), whose head comment says how items are told and shared.
//
//     node work_queue.mjs GROUP [URL]
//
// Commands: work TEXT | await MEMBERS | done ITEMS (until so many are done) | dump
import { EventEmitter, once } from 'node:events'
import readline from 'node:readline'
import { connect } from 'anasazi'

const [name, url] = process.argv.slice(2)
if (name === undefined) {
  console.error('usage: node work_queue.mjs GROUP [URL]')
  process.exit(2)
}
const items = new Map() // by id: text, worker, and whether we have said that it is done
const changes = new EventEmitter()
let members = [] // their names
let me
let mine = 0 // items that we have put in

const sorted = () => [...items].sort(([one], [other]) => one < other ? -1 : 1)
const done = () => [...items.values()].filter(item => item.worker !== undefined).length
// Not awaited: the loop below has to go on for it to come.
const say = text => group.mcast(text).catch(() => {})

function put (id, text) {
  if (!items.has(id)) items.set(id, { text, worker: undefined, reported: false })
}

// Of several who did it the one with the lowest name counts, which all see alike.
function finish (id, worker) {
  const item = items.get(id)
  if (item !== undefined && !(item.worker <= worker)) item.worker = worker
}

function see (view) {
  members = view.members.map(member => connection.memberName(member))
  me = connection.memberName(connection.self)
  console.log(`* ${members.length} here: ${view.reason}`)
  if (view.joined.length === 0 || items.size === 0) return
  if (connection.memberName(view.together[0]) !== me) return
  const lines = sorted().map(([id, item]) => `${id} ${item.worker ?? '-'} ${item.text}\n`)
  say(`queue\n${lines.join('')}`)
}

function hear (message, sender) {
  const [line, ...lines] = message.split('\n')
  const [verb, id, ...words] = line.split(' ')
  if (verb === 'work') put(id, words.join(' '))
  else if (verb === 'done') finish(id, sender)
  for (const [id, worker, ...words] of lines.filter(Boolean).map(line => line.split(' '))) {
    put(id, words.join(' '))
    if (worker !== '-') finish(id, worker)
  }
}

// What is ours to do; the doing itself would be here.
function work () {
  for (const [id, item] of items) {
    const sum = Buffer.from(id).reduce((sum, byte) => sum + byte, 0)
    if (item.worker !== undefined || item.reported || members[sum % members.length] !== me) continue
    item.reported = true
    say(`done ${id}`)
  }
}

async function until (isSo) {
  while (!isSo()) await once(changes, 'change')
}

async function obey (line) {
  const [command, first] = line.split(/\s+/)
  if (command === 'await') await until(() => members.length === +first)
  else if (command === 'done') await until(() => done() >= +first)
  else if (command === 'work' && first) {
    await until(() => me !== undefined)
    await group.mcast(`work ${me}.${String(mine++).padStart(3, '0')} ${line.slice(5)}`)
  } else if (command === 'dump') {
    for (const [id, item] of sorted()) console.log(`${id} ${item.text} by ${item.worker ?? '-'}`)
  }
}

const connection = await connect(url)
const group = await connection.join(name)
// What we said may be lost.
connection.on('resumed', () => items.forEach(item => { item.reported = false }))
async function obeyAll () {
  for await (const line of readline.createInterface({ input: process.stdin })) await obey(line)
  await connection.close()
}
const obeying = obeyAll()
for await (const event of group) {
  const { type, data, sender } = event
  if (type === 'view') see(event)
  else if (type === 'message') hear(data.toString(), connection.memberName(sender))
  work()
  changes.emit('change')
}
await obeying
