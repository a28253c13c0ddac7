// Signals: one for thousands of sends, or thousands, cost no more for each than a few do.
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import { installed, member, soon } from './place.mjs'

const { Line } = createRequire(import.meta.url)(path.join(installed, 'lib', 'line.js'))
const big = Buffer.alloc(60_000)
const listeners = (signal) => getEventListeners(signal, 'abort').length

/** A group in which messages wait, that is read. */
async function full (t, name) {
  const { connection, group } = await member(t, name)
  ;(async () => { for await (const events of group.batches()) void events })()
  while (group.waiting.size === 0) group.mcast(big).catch(() => {})
  return { connection, group }
}

/** How they ended: how often with what. */
async function outcomes (promises) {
  const count = {}
  for (const { reason, value } of await soon(Promise.allSettled(promises))) {
    const what = reason?.name ?? reason?.code ?? typeof value
    count[what] = (count[what] ?? 0) + 1
  }
  return count
}

test('one signal for thirty thousand sends that wait is listened to once', async (t) => {
  const { group } = await full(t, 'one-signal')
  const abort = new AbortController()
  const send = () => group.mcast('x', { signal: abort.signal })
  const sends = Array.from({ length: 30_000 }, send)
  assert.equal(listeners(abort.signal), 1)
  assert.ok(group.waiting.size > 29_000)
  abort.abort()
  assert.equal(group.waiting.size, 1, 'but the one before them')
  assert.equal(listeners(abort.signal), 0)
  assert.deepEqual(await outcomes(sends), { AbortError: 30_000 })
  assert.equal(typeof await soon(group.mcast('well')), 'number')
  assert.ok(group.waiting instanceof Line, 'what the last test below is about')
})

test('of what one signal ends nothing is sent any more, and it ends in order', async (t) => {
  const { group } = await member(t, 'in-order')
  const abort = new AbortController()
  const [sends, ended] = [[], []]
  const send = (data) => {
    const at = sends.length
    const sent = group.mcast(data, { signal: abort.signal })
    sends.push(sent.catch(({ name }) => ended.push([name, at])))
  }
  // The engine takes what is sent meanwhile.
  while (group.waiting.size === 0) send(big)
  // There may be room for those that are behind the first one.
  for (let at = 0; at < 2000; at++) send('small')
  assert.equal(group.waiting.size, 2001)
  abort.abort()
  const end = group.mcast('end')
  await soon(Promise.all(sends))
  assert.deepEqual(ended, sends.map((_, at) => ['AbortError', at]))
  for await (const event of group) {
    const text = event.type === 'message' && event.data.length < 100 ? `${event.data}` : ''
    assert.notEqual(text, 'small')
    if (text === 'end') break
  }
  assert.ok(await soon(end) > 0)
})

test('a signal is not listened to any more once nothing is awaited', async (t) => {
  const { connection, group } = await full(t, 'no-signal')
  const { signal } = new AbortController()
  const other = await member(t, 'no-signal')
  const awaited = [
    group.mcast('x', { signal }), connection.mcast([group], 'x', { signal }),
    group.mcast('x', { signal, self: false }), group.writable({ signal }),
    connection.join('other', { signal }), other.connection.query({ query: 'status' }, { signal })
  ]
  assert.equal(listeners(signal), 1)
  await soon(Promise.all(awaited))
  await new Promise(setImmediate)
  assert.equal(listeners(signal), 0)
  // What is settled within the call is never listened for.
  assert.equal(await group.mcast('x', { signal, self: false }), 0)
  assert.equal(await group.mcast('x', { signal, sameView: true }).catch(() => 0) >= 0, true)
  assert.equal(listeners(signal), 0)
})

test('signals of their own, aborted in any order', async (t) => {
  const { group } = await full(t, 'own-signals')
  const aborts = Array.from({ length: 3000 }, () => new AbortController())
  const sends = aborts.map(({ signal }) => group.mcast('x', { signal }))
  const behind = group.mcast('behind')
  const turned = aborts.map((_, at) => aborts[at * 7 % aborts.length])
  for (const abort of turned) abort.abort()
  assert.deepEqual(await outcomes(sends), { AbortError: 3000 })
  assert.equal(typeof await soon(behind), 'number')
})

test('thousands that wait for room end with one signal', async (t) => {
  const { group } = await full(t, 'writers')
  const abort = new AbortController()
  const waits = Array.from({ length: 5000 }, () => group.writable({ signal: abort.signal }))
  abort.abort(new RangeError('mine'))
  assert.deepEqual(await outcomes(waits), { RangeError: 5000 })
  await soon(group.writable())
})

/** Milliseconds to take so many out, at the front. */
function takingOut (line, length, take) {
  for (let at = 0; at < length; at++) line.add({ at })
  const start = process.hrtime.bigint()
  while (line.size > 0) take(line)
  return Number(process.hrtime.bigint() - start) / 1e6
}

test('who waits is found at once, however many have gone before', (t) => {
  const line = new Line()
  const [, middle] = ['a', 'b', 'c'].map((one) => line.add(one))
  line.remove(middle)
  assert.deepEqual([line.first, line.size, line.all()], ['a', 2, ['a', 'c']])
  assert.deepEqual([line.shift(), line.shift(), line.shift()], ['a', 'c', undefined])
  line.add('d')
  line.clear()
  assert.deepEqual([line.first, line.size, line.all()], [undefined, 0, []])
  // Of as many, in one run: with a Set, whose first is looked for, it is quadratic.
  const places = []
  const quick = { add: (one) => places.push(line.add(one)), get size () { return line.size } }
  let at = 0
  const inLine = takingOut(quick, 65536, () => line.remove(places[at++]) ?? line.first)
  const inSet = takingOut(new Set(), 65536, (set) => set.delete(set.values().next().value))
  t.diagnostic(`${inLine.toFixed(1)} ms; with a Set ${inSet.toFixed(0)}`)
  assert.ok(inLine * 10 < inSet, `${inLine} and ${inSet}`)
})
