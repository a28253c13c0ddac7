// Events that nobody reads: bounded, and never a hang.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { SlowReceiverError } from 'anasazi'
import { member, next, soon, until } from './place.mjs'

const join = { unreadEventsMax: 100 }

test('await goes on while nobody reads, up to twice the bound, then it is an error', async (t) => {
  const { group } = await member(t, 'bound', { join })
  for (let at = 1; at < 200; at++) assert.equal(await soon(group.mcast(`${at}`)), at)
  const error = await soon(group.mcast('too much').catch((error) => error))
  assert.ok(error instanceof SlowReceiverError, `${error}`)
  assert.equal(error.code, 'ANZ_ESLOW')
  assert.match(error.message, /2\d\d events of group "room" are unread/)
  assert.match(error.message, /Nothing was sent/)
  const again = await soon(group.mcast('still').catch((error) => error))
  assert.ok(again instanceof SlowReceiverError)
  // Once they are read, all is well, and nothing is missing.
  const reader = group[Symbol.asyncIterator]()
  const text = async () => (await next(reader, 'message')).data.toString()
  for (let at = 1; at < 200; at++) assert.equal(await text(), `${at}`)
  assert.equal(await soon(group.mcast('well')), 200)
  assert.equal(await text(), 'well')
})

test('without anything awaited, reading stops at the bound, and goes on', async (t) => {
  const { connection, group } = await member(t, 'stop', { join })
  const sender = await member(t, 'stop')
  const stalled = once(connection, 'stalled')
  const warned = once(process, 'warning')
  const reads = (async () => { for await (const event of sender.group) void event })()
  const send = async () => { for (let at = 0; at < 5000; at++) await sender.group.mcast(`${at}`) }
  const sent = send()
  await soon(stalled, 'stalled')
  assert.equal((await warned)[0].code, 'ANZ_ESLOW')
  await soon(sent)
  assert.ok(group.unread.length < 100 + 256, `${group.unread.length}`)
  assert.ok(connection.stats().receiveRingUsed > 100_000)
  // A loop that was not running is in time for all of them.
  let expected = 0
  for await (const event of group) {
    if (event.type !== 'message') continue
    assert.equal(event.data.toString(), `${expected++}`)
    if (expected === 5000) break
  }
  await sender.connection.close()
  await reads
})

test('a loop that awaits its own sends in the midst of traffic', async (t) => {
  const { group } = await member(t, 'echo', { join })
  const sender = await member(t, 'echo')
  const reads = (async () => { for await (const event of sender.group) void event })()
  const sent = (async () => {
    for (let at = 0; at < 3000; at++) await sender.group.mcast('question')
    await sender.group.mcast('end')
  })()
  let answers = 0
  for await (const event of group) {
    if (event.type !== 'message' || event.sender === group.connection.self) continue
    if (event.data.toString() === 'end') break
    if (++answers % 30 === 0) await soon(group.mcast('answer'), 'the answer')
  }
  assert.equal(answers, 3000)
  await sent
  await sender.connection.close()
  await reads
})

test('the bound in bytes', async (t) => {
  const { connection, group } = await member(t, 'bytes', { join: { unreadBytesMax: 1_000_000 } })
  const sender = await member(t, 'bytes')
  const reads = (async () => { for await (const event of sender.group) void event })()
  for (let at = 0; at < 30; at++) await sender.group.mcast(Buffer.alloc(100_000))
  await until(() => group.unread.length >= 10, 'reading')
  await new Promise((resolve) => setTimeout(resolve, 50))
  // A batch is read as a whole.
  assert.ok(group.unread.length <= 30)
  await soon(connection.close())
  await sender.connection.close()
  await reads
})

test('leaving and joining with a full queue', async (t) => {
  const { connection, group } = await member(t, 'full', { join })
  for (let at = 1; at < 150; at++) await soon(group.mcast('x'))
  const other = await soon(connection.join('other'))
  assert.equal(await soon(other.mcast('y')), 1)
  assert.equal((await soon(connection.query({ query: 'status' }))).state, 'operational')
  await soon(group.leave())
  let count = 0
  for await (const event of group) count += event.type === 'message' ? 1 : 0
  assert.equal(count, 149)
})
