// What the package does when all is well.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import * as anasazi from 'anasazi'
import { member, next, open, soon, until } from './place.mjs'

test('versions and features', () => {
  assert.match(anasazi.libraryVersion, /^1\.\d+\.\d+ \(/)
  assert.match(anasazi.version, /^\d+\.\d+\.\d+$/)
  assert.equal(anasazi.hasFeature('inproc'), true)
  assert.equal(anasazi.hasFeature('magic'), false)
})

test('a message comes back at its place, and await is an ordering point', async (t) => {
  const [first, second] = [await member(t, 'order'), await member(t, 'order')]
  const reader = first.group[Symbol.asyncIterator]()
  assert.equal((await next(reader, 'view')).members.length, 1)
  const view = await next(reader, 'view')
  assert.deepEqual(view.members, second.group.view.members)
  assert.equal(view.cause, 'join')
  assert.equal(view.id, second.group.view.id)
  assert.equal(await second.group.mcast('one'), 1)
  assert.equal(await first.group.mcast(Buffer.from('two')), 2)
  // What is ordered before it is there already: the reader need not wait.
  const message = await next(reader, 'message')
  assert.deepEqual([message.data.toString(), message.seq, message.service], ['one', 1, 'agreed'])
  assert.equal(message.sender, second.connection.self)
  assert.equal(message.sender, view.members.find((member) => member !== first.connection.self))
  assert.deepEqual(message.groups, [first.group])
  assert.ok(Object.isFrozen(message.sender))
  assert.match(first.connection.memberName(message.sender), /^\d+\/\d+$/)
})

test('every kind of data, service and priority', async (t) => {
  const { group } = await member(t, 'kinds')
  const reader = group[Symbol.asyncIterator]()
  const floats = new Float32Array([1.5])
  for (const [data, expected] of [
    ['', ''], ['ä', 'ä'], [Buffer.alloc(0), ''], [new Uint8Array([65]), 'A'],
    [new DataView(new ArrayBuffer(1)), '\0'], [new ArrayBuffer(2), '\0\0'],
    [floats, Buffer.from(floats.buffer).toString()], [new SharedArrayBuffer(1), '\0']
  ]) {
    await group.mcast(data)
    assert.equal((await next(reader, 'message')).data.toString(), expected)
  }
  for (const service of ['unreliable', 'reliable', 'fifo', 'causal', 'agreed', 'safe']) {
    await soon(group.mcast(service, { service }), service)
    assert.equal((await next(reader, 'message')).service, service)
  }
  for (const priority of ['high', 'normal', 'bulk']) await group.mcast('x', { priority })
  assert.equal(await group.mcast('not for me', { self: false }), 0)
  await group.mcast('the end')
  const rest = []
  for (let event; (event = await next(reader, 'message')).data.toString() !== 'the end';) {
    rest.push(event.data.toString())
  }
  assert.deepEqual(rest, ['x', 'x', 'x'])
})

test('messages of every length stay what they were, and are the reader\'s own', async (t) => {
  const { group } = await member(t, 'lengths')
  const reader = group[Symbol.asyncIterator]()
  const kept = []
  const lengths = [1, 63, 4095, 4096, 4097, 70_000, 200_000, 1_000_000, 3, 5000, 64]
  for (let round = 0; round < 12; round++) {
    const sends = lengths.map((length, at) => group.mcast(Buffer.alloc(length, at + round)))
    for (const at of lengths.keys()) {
      const { data } = await next(reader, 'message')
      assert.equal(data.length, lengths[at])
      kept.push([data, at + round])
    }
    await Promise.all(sends)
  }
  for (const [data, fill] of kept) assert.ok(data.every((byte) => byte === fill))
  kept[0][0].fill(99)
  for (const [data, fill] of kept.slice(1)) assert.ok(data.every((byte) => byte === fill))
})

test('a message that is kept keeps little memory', async (t) => {
  const { group } = await member(t, 'pieces')
  const reader = group[Symbol.asyncIterator]()
  const message = (at) => Buffer.alloc(4000 + at % 90, at)
  const sends = Array.from({ length: 200 }, (_, at) => group.mcast(message(at)))
  // Until all of it has come: large batches.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  for (const at of sends.keys()) {
    const { data } = await next(reader, 'message')
    assert.ok(data.buffer.byteLength <= 65536, `${data.buffer.byteLength}`)
    assert.ok(data.equals(message(at)))
  }
  await Promise.all(sends)
})

test('a message that was sent may be written over at once, even if it waits', async (t) => {
  const { group } = await member(t, 'overwrite')
  const reader = group[Symbol.asyncIterator]()
  const data = Buffer.alloc(100_000)
  const sends = []
  for (let fill = 0; fill < 200; fill++) sends.push(group.mcast(data.fill(fill)))
  data.fill(255)
  for (let fill = 0; fill < 200; fill++) {
    assert.ok((await next(reader, 'message')).data.every((byte) => byte === fill), `${fill}`)
  }
  const places = await soon(Promise.all(sends))
  assert.deepEqual(places, places.map((_, at) => at + 1), 'they do not overtake each other')
})

test('tryMcast() says when there is no room, drain when there is', async (t) => {
  const { group } = await member(t, 'room')
  const sends = []
  while (group.waiting.size === 0) sends.push(group.mcast(Buffer.alloc(100_000)))
  assert.ok(sends.length > 10)
  assert.equal(group.tryMcast('would overtake what waits'), false)
  await soon(once(group, 'drain'), 'drain')
  assert.equal(group.waiting.size, 0)
  assert.equal(group.tryMcast('y'), true)
  assert.equal(await group.mcast('z'), sends.length + 2)
})

test('an aborted send rejects, and is not sent if it had to wait', async (t) => {
  const { group } = await member(t, 'abort')
  await assert.rejects(group.mcast('x', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  const others = []
  while (group.waiting.size === 0) others.push(group.mcast(Buffer.alloc(100_000)))
  const controller = new AbortController()
  const first = group.mcast('first', { signal: controller.signal })
  const second = group.mcast('second')
  controller.abort(new RangeError('mine'))
  await assert.rejects(first, RangeError)
  await soon(Promise.all([...others, second]))
  const texts = []
  for await (const event of group) {
    if (event.type !== 'message' || event.data.length > 10) continue
    texts.push(event.data.toString())
    if (texts.at(-1) === 'second') break
  }
  assert.deepEqual(texts, ['second'])
  const late = new AbortController()
  const accepted = group.mcast('third', { signal: late.signal })
  late.abort()
  await assert.rejects(accepted, { name: 'AbortError' })
  assert.equal(typeof await group.mcast('fourth'), 'number')
})

test('batches are the same stream', async (t) => {
  const { group } = await member(t, 'batches')
  await Promise.all(Array.from({ length: 100 }, (_, at) => group.mcast(String(at))))
  const batches = group.batches()
  const { value } = await batches.next()
  assert.equal(value.length, 101)
  assert.equal(value[0].type, 'view')
  const places = value.slice(1).map(({ seq }) => seq)
  assert.deepEqual(places, Array.from({ length: 100 }, (_, at) => at + 1))
  const waits = batches.next()
  await group.mcast('more')
  assert.equal((await waits).value[0].data.toString(), 'more')
  await batches.return()
  await group.mcast('for the next reader')
  for await (const event of group) {
    assert.equal(event.data.toString(), 'for the next reader')
    break
  }
})

test('sameView goes by what the program has read', async (t) => {
  const first = await member(t, 'same-view')
  const reader = first.group[Symbol.asyncIterator]()
  await next(reader, 'view')
  assert.equal(await first.group.mcast('a', { sameView: true }), 1)
  const second = await member(t, 'same-view')
  await until(() => first.group.view.members.length === 2, 'the view')
  // It is there, but has not been read.
  const code = { code: 'ANZ_EVIEW', name: 'ViewChangedError' }
  await assert.rejects(first.group.mcast('b', { sameView: true }), code)
  assert.throws(() => first.group.tryMcast('b', { sameView: true }), code)
  assert.equal((await next(reader, 'view')).members.length, 2)
  assert.equal(await first.group.mcast('c', { sameView: true }), 1)
  const other = second.group[Symbol.asyncIterator]()
  assert.equal((await next(other, 'message')).data.toString(), 'c')
})

test('several groups, members alone, senders that are no members', async (t) => {
  const [ada, ben] = [await open(t, 'several'), await open(t, 'several')]
  const [a, b] = [await ada.join('a'), await ada.join('b')]
  const benInB = await ben.join('b')
  await soon(ada.mcast([a, b], 'both'))
  for (const group of [a, b]) {
    const message = await next(group[Symbol.asyncIterator](), 'message')
    assert.deepEqual([message.data.toString(), message.groups], ['both', [a, b]])
  }
  const benReads = benInB[Symbol.asyncIterator]()
  assert.deepEqual((await next(benReads, 'message')).groups, [benInB])
  const alone = ben[Symbol.asyncIterator]()
  assert.equal(await soon(ada.peer(ben.self).mcast('ben alone')), 0)
  const message = await next(alone, 'message')
  assert.deepEqual([message.data.toString(), message.groups], ['ben alone', []])
  const sender = await ben.join('a', { sendOnly: true })
  assert.equal(await soon(sender.mcast('from outside')), 0)
  const nobody = ada.peer({ node: '1', session: '2' })
  await assert.rejects(soon(nobody.mcast('x')), { code: 'ANZ_ENOTMEMBER' })
})

test('queries and figures', async (t) => {
  const { connection, group } = await member(t, 'figures')
  const status = await soon(connection.query({ query: 'status' }))
  assert.equal(status.state, 'operational')
  await group.mcast('x')
  const stats = connection.stats()
  assert.deepEqual([stats.sentMessages, stats.receivedMessages, stats.views], [1, 1, 1])
  assert.ok(stats.receiveRingSize > 0)
  await assert.rejects(connection.query({ query: 'status' }, { signal: AbortSignal.abort() }))
})

test('leaving ends the group, closing ends the connection', async (t) => {
  const { connection, group } = await member(t, 'leaving')
  const left = once(group, 'left')
  const events = []
  const reading = (async () => { for await (const event of group) events.push(event) })()
  await group.mcast('x')
  await soon(Promise.all([group.leave(), group.leave(), left, reading]))
  assert.deepEqual(events.map(({ type }) => type), ['view', 'message'])
  assert.equal(group.closed, true)
  await group.leave()
  const again = await connection.join('room')
  const closed = once(connection, 'close')
  const waits = again[Symbol.asyncIterator]()
  await waits.next()
  const end = waits.next()
  await connection.close()
  await connection.close()
  assert.deepEqual(await closed, [undefined])
  assert.equal((await end).done, true)
  assert.equal(connection.closed, true)
})

test('resources give themselves back', async (t) => {
  const connection = await open(t, 'dispose')
  const group = await connection.join('room')
  await group[Symbol.asyncDispose]()
  assert.equal(group.closed, true)
  const other = await connection.join('other')
  await connection[Symbol.asyncDispose]()
  assert.equal(other.closed, true)
  await other[Symbol.asyncDispose]()
})
