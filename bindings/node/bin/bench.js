'use strict'
// `bench`: what this package does in one process, with an engine in it: messages a second through
// `for await` and in batches, and how long a message takes to come back.

const { execFileSync } = require('node:child_process')
const { connect } = require('../lib/index.js')

const LEN = 64
const WARM_UP = 2000

/** An engine that no other finds. */
function open () {
  const name = `bench-${process.pid}`
  return connect(`inproc:${name}`, { settings: { cluster: name } })
}

/** Sends as fast as there is room. */
async function flood (group, isOver) {
  const message = Buffer.alloc(LEN, 'x')
  while (!isOver()) {
    let room = true
    for (let sent = 0; sent < 256 && room; sent++) room = group.tryMcast(message)
    if (!room) await new Promise((resolve) => group.once('drain', resolve))
    else await new Promise(setImmediate)
  }
}

/** Messages a second, counted by one who reads. */
async function throughput (seconds, read) {
  const connection = await open()
  const group = await connection.join('bench')
  let count = 0
  let over = false
  const flooding = flood(group, () => over)
  const reading = read(group, (more) => { count += more })
  await new Promise((resolve) => setTimeout(resolve, 300))
  const [before, start] = [count, process.hrtime.bigint()]
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  const rate = (count - before) / Number(process.hrtime.bigint() - start) * 1e9
  over = true
  await flooding
  await connection.close()
  await reading
  return Math.round(rate)
}

async function each (group, counts) {
  for await (const event of group) if (event.type === 'message') counts(1)
}

async function batches (group, counts) {
  for await (const events of group.batches()) counts(events.length)
}

/** Microseconds from a send until the message is back, one at a time; half are below. */
async function latency (rounds) {
  const connection = await open()
  const group = await connection.join('ping')
  const message = Buffer.alloc(LEN, 'x')
  const times = []
  const reading = each(group, () => {})
  for (let round = 0; round < WARM_UP + rounds; round++) {
    const start = process.hrtime.bigint()
    await group.mcast(message)
    if (round >= WARM_UP) times.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  await connection.close()
  await reading
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)]
}

/** The same in C, by a program that prints the figure. */
function latencyInC (program, rounds) {
  return Number(execFileSync(program, [String(rounds)], { encoding: 'utf8' }))
}

/** In turn, so that what else the machine does strikes both. */
async function latencies (rounds, reference) {
  if (reference === undefined) return { 'there and back, p50, us': await latency(rounds) }
  const [here, inC] = [[], []]
  for (let turn = 0; turn < 3; turn++) {
    inC.push(latencyInC(reference, rounds))
    here.push(await latency(rounds))
  }
  const middle = (times) => times.sort((a, b) => a - b)[1]
  return {
    'there and back, p50, us': middle(here),
    'the same in C, us': middle(inC),
    'added by this package, us': middle(here) - middle(inC)
  }
}

async function bench ({ seconds = '3', json, reference }) {
  const duration = Number(seconds)
  if (!(duration > 0)) throw new Error(`--seconds takes a number above 0, not ${seconds}`)
  const figures = {
    ...await latencies(Math.ceil(duration * 1000), reference),
    'for await, messages/s': await throughput(duration, each),
    'batches(), messages/s': await throughput(duration, batches)
  }
  if (json) return console.log(JSON.stringify(figures))
  for (const [what, figure] of Object.entries(figures)) {
    console.log(`${what.padEnd(28)} ${figure.toFixed(figure < 1000 ? 1 : 0).padStart(10)}`)
  }
}

module.exports = { bench }
