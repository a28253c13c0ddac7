// Whatever is awaited ends: in success, or with an error that says why.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { SlowReceiverError } from 'anasazi'
import { member, next, open, soon, until } from './place.mjs'

const big = Buffer.alloc(60_000)
const outcome = (promise) => promise.then((value) => value, (error) => error)

/** Reads all of it, and forgets it. */
async function drainAway (readable) {
  for await (const event of readable) void event
}

/** Two groups that are read. */
async function pair (t, name) {
  const connection = await open(t, name)
  const groups = [await connection.join('a'), await connection.join('b')]
  for (const group of groups) drainAway(group.batches())
  return [connection, ...groups]
}

/** Has a message wait in this group: the last of as many as there is room for, and one. */
function fill (group) {
  for (;;) {
    const last = outcome(group.mcast(big))
    if (group.waiting.size > 0) return last
  }
}

test('messages that do not come back, to whoever they go', async (t) => {
  const connection = await open(t, 'no-self')
  const other = await open(t, 'no-self')
  const [joined, also] = [await connection.join('joined'), await connection.join('also')]
  const outside = await connection.join('outside', { sendOnly: true })
  await other.join('joined')
  const [self, peer] = [connection.peer(connection.self), connection.peer(other.self)]
  const receivers = [[joined], [joined, also], [joined, outside], [outside], [self], [peer]]
  const services = ['unreliable', 'reliable', 'fifo', 'causal', 'agreed', 'safe']
  for (const groups of receivers) {
    for (const service of services) {
      const names = groups.map(({ name }) => name).join()
      const sent = connection.mcast(groups, 'x', { service, self: false })
      assert.equal(await soon(sent, `${service} to ${names}`), 0)
    }
  }
  // By receipt, where there is one: it tells that nobody was there.
  const nobody = connection.peer({ node: '1', session: '2' })
  await assert.rejects(soon(nobody.mcast('x', { self: false })), { code: 'ANZ_ENOTMEMBER' })
})

test('a send behind one whose other group ends', async (t) => {
  const [connection, a, b] = await pair(t, 'behind')
  const first = fill(a)
  const both = outcome(connection.mcast([a, b], 'both'))
  const second = b.mcast('second')
  await soon(Promise.all([a.leave(), first, both]))
  assert.equal(typeof await soon(second), 'number')
  assert.equal(typeof await soon(b.mcast('third')), 'number')
})

test('drain comes in groups where a message to several waits', async (t) => {
  const [connection, a, b] = await pair(t, 'drain-behind')
  fill(a)
  const both = connection.mcast([a, b], 'both')
  assert.equal(b.tryMcast('would overtake'), false)
  await soon(once(b, 'drain'), 'drain')
  await soon(both)
  assert.equal(b.tryMcast('x'), true)
})

test('drain comes in all groups of a message for which there was no room', async (t) => {
  const [connection, a, b] = await pair(t, 'drain-all')
  while (connection.tryMcast([a, b], big)) ;
  await soon(Promise.all([once(a, 'drain'), once(b, 'drain')]), 'drain')
})

for (const end of ['close', 'leave']) {
  test(`room is awaited no more after ${end}()`, async (t) => {
    const [connection, a] = await pair(t, `drain-${end}`)
    const failed = outcome((async () => {
      for (;;) while (!a.tryMcast(big)) await once(a, 'drain')
    })())
    const writable = outcome((async () => {
      for (;;) { a.tryMcast(big); await a.writable() }
    })())
    await new Promise(setImmediate)
    while (a.tryMcast(big)) ;
    const ended = end === 'close' ? connection.close() : a.leave()
    const codes = ['ANZ_ECLOSED', 'ANZ_ENOTMEMBER']
    for (const { code } of await soon(Promise.all([failed, writable]))) {
      assert.ok(codes.includes(code), code)
    }
    await ended
  })
}

test('writable() tells of room, and may be aborted', async (t) => {
  const [, a] = await pair(t, 'writable')
  await soon(a.writable())
  fill(a)
  const abort = new AbortController()
  const aborted = a.writable({ signal: abort.signal })
  const waits = a.writable()
  abort.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
  await soon(waits, 'room')
  assert.equal(a.tryMcast('x'), true)
})

test('a million messages that nobody reads end in an error', async (t) => {
  for (const wait of ['drain', 'writable']) {
    const { group } = await member(t, `million-${wait}`)
    let sent = 0
    const error = await soon(outcome((async () => {
      for (; sent < 1_000_000; sent++) {
        while (!group.tryMcast('x')) {
          if (wait === 'drain') await once(group, 'drain')
          else await group.writable()
        }
      }
    })()), 'the error')
    assert.ok(error instanceof SlowReceiverError, `${error} after ${sent}`)
    assert.ok(sent > 16384)
  }
})

/** A group with too much in it for anything that is awaited, another, and who sends to it. */
async function overfull (t, name) {
  const { connection, group } = await member(t, name, { join: { unreadEventsMax: 10 } })
  const other = await connection.join('other')
  const sender = await member(t, name)
  drainAway(sender.group.batches())
  for (let at = 0; at < 600; at++) await sender.group.mcast('x')
  await assert.rejects(soon(group.mcast('x')), SlowReceiverError)
  return { connection, group, other, sender }
}

test('a group that cannot be joined is not joined', async (t) => {
  const { connection, group, sender } = await overfull(t, 'ghost')
  for (let round = 0; round < 2; round++) {
    await assert.rejects(soon(connection.join('late')), SlowReceiverError)
  }
  drainAway(group.batches())
  await until(() => group.unread.length === 0, 'reading')
  const late = await sender.connection.join('late')
  drainAway(late.batches())
  await until(() => late.view.members.length === 1, 'the view of one')
  for (let at = 0; at < 40; at++) {
    await Promise.all(Array.from({ length: 1000 }, () => late.mcast('x')))
  }
  assert.equal(typeof await soon(group.mcast('x')), 'number')
  assert.equal((await soon(connection.join('late'))).view.members.length, 2)
})

test('a join that is given up for want of room is undone', async (t) => {
  // Asked for before the queue is overfull.
  const { connection, group } = await member(t, 'undone', { join: { unreadEventsMax: 10 } })
  const sender = await member(t, 'undone')
  drainAway(sender.group.batches())
  for (let at = 0; at < 300; at++) sender.group.tryMcast('x')
  // Until all of it has come.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  await assert.rejects(soon(connection.join('late')), SlowReceiverError)
  drainAway(group.batches())
  const late = await sender.connection.join('late')
  await until(() => late.view.members.length === 1, 'the view of one')
  await until(() => group.unread.length === 0, 'reading')
  assert.equal((await soon(connection.join('late'))).view.members.length, 2)
})

test('the group that is overfull can be left, and then others go on', async (t) => {
  const { group, other } = await overfull(t, 'leave-full')
  await soon(group.leave(), 'leaving')
  assert.equal(group.closed, true)
  assert.equal(await soon(other.mcast('x')), 1)
  let count = 0
  for await (const event of group) count += event.type === 'message' ? 1 : 0
  assert.ok(count >= 10 && count <= 600, `${count}`)
})

test('a group is left by a reader that reads no more', async (t) => {
  const { group, other } = await overfull(t, 'leave-within')
  for await (const event of group) {
    void event
    await soon(group.leave(), 'leaving')
  }
  assert.equal(await soon(other.mcast('x')), 1)
})

test('leaving that has failed can be tried again, and disposing goes on', async (t) => {
  const { group, other } = await overfull(t, 'leave-other')
  await assert.rejects(soon(other.leave()), SlowReceiverError)
  await soon(other[Symbol.asyncDispose](), 'disposing')
  drainAway(group.batches())
  await until(() => group.unread.length === 0, 'reading')
  await soon(other.leave(), 'leaving')
  assert.equal(other.closed, true)
})

test('what waits for room when a group is left is sent before', async (t) => {
  const { group } = await member(t, 'leave-after')
  const reader = await member(t, 'leave-after')
  const texts = drainAway(group.batches())
  const sends = Array.from({ length: 300 }, () => group.mcast(Buffer.alloc(100_000)))
  const left = group.leave()
  await assert.rejects(soon(group.mcast('late')), { code: 'ANZ_ENOTMEMBER', message: /again/ })
  const places = await soon(Promise.all(sends))
  assert.equal(places.length, 300)
  await soon(left)
  await texts
  await reader.connection.close()
})

test('direct messages that nobody asks for hold up nothing, and are told of', async (t) => {
  const { connection, group } = await member(t, 'direct')
  const sender = await member(t, 'direct')
  const peer = sender.connection.peer(connection.self)
  drainAway(group.batches())
  drainAway(sender.group.batches())
  const count = 40_000
  for (let sent = 0; sent < count; sent += 500) {
    await soon(Promise.all(Array.from({ length: 500 }, () => peer.mcast('x'))))
  }
  assert.equal(typeof await soon(group.mcast('x')), 'number')
  const reader = connection[Symbol.asyncIterator]()
  for (let at = 0; at < 256; at++) await next(reader, 'message')
  assert.equal((await next(reader, 'gap')).skipped, count - 256)
  await peer.mcast('from here on all')
  assert.equal((await next(reader, 'message')).data.toString(), 'from here on all')
})

test('a loop that is slow holds up sends, and they go on with it', async (t) => {
  const { group } = await member(t, 'slow', { join: { unreadEventsMax: 50 } })
  const sent = (async () => { for (let at = 0; at < 600; at++) await group.mcast('x') })()
  let count = 0
  for await (const event of group) {
    if (event.type !== 'message') continue
    await new Promise((resolve) => setTimeout(resolve, 2))
    if (++count === 600) break
  }
  await soon(sent)
})

test('a send that is refused for want of reading is not sent', async (t) => {
  const { group, sender } = await overfull(t, 'refused')
  const error = await outcome(group.mcast('refused'))
  assert.match(error.message, /Nothing was sent/)
  assert.throws(() => group.tryMcast('refused'), /Nothing was sent/)
  await assert.rejects(group.writable(), SlowReceiverError)
  const reader = group[Symbol.asyncIterator]()
  await until(() => group.unread.length > 0, 'events')
  for (let at = 0; at < 500; at++) await next(reader, 'message')
  await sender.group.mcast('the end')
  for (let text; text !== 'the end';) {
    text = (await next(reader, 'message')).data.toString()
    assert.notEqual(text, 'refused')
  }
})
