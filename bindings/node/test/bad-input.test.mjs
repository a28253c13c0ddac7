// Each wrong use gives a typed error with a sentence; none a crash or a hang.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import vm from 'node:vm'
import {
  Address, AnasaziError, BusyError, ClosedError, ConfigError, Connection, ConnectionRefusedError,
  connect, Engine, ExistsError, Group, hasFeature, InvalidArgumentError, MessageSizeError,
  OutOfMemoryError, Peer
} from 'anasazi'
import { Cluster, member, next, script, soon } from './place.mjs'

/** It fails with such an error, whose sentence has this in it. */
async function fails (call, Class, code, words) {
  let error
  try {
    await soon(call())
  } catch (thrown) {
    error = thrown
  }
  assert.ok(error instanceof Class, `${error?.stack}`)
  assert.ok(error instanceof AnasaziError)
  assert.equal(error.code, code)
  assert.ok(error.errno < 0 && typeof error.retryable === 'boolean')
  assert.match(error.message, words)
  assert.ok(error.message.length > 15, error.message)
}

const invalid = (call, words) => fails(call, InvalidArgumentError, 'ANZ_EINVAL', words)
const wrong = [5, null, true, {}, [], Symbol('x'), () => {}, 5n]

test('what cannot be connected to', async () => {
  for (const url of [5, true, Symbol('x'), []]) await invalid(() => connect(url, {}), /URL/)
  await invalid(() => connect('inproc:x', 5), /object/)
  await invalid(() => connect('inproc:x', null), /object/)
  await invalid(() => connect('inproc:x', { settings: 5 }), /settings/)
  await invalid(() => connect('inproc:x', { settings: { cluster: {} } }), /cluster/)
  for (const nested of [{ session: { slow_policy: 'x' } }, { session: { slow_policy: {} } }]) {
    await invalid(() => connect('inproc:x', { settings: nested }), /write 'session.slow_policy' in/)
  }
  await invalid(() => connect('inproc:x', { setings: {} }), /"setings".*settings/)
  for (const options of [new Map(), [], new URLSearchParams()]) {
    await invalid(() => connect('inproc:x', options), /object/)
    await invalid(() => connect('inproc:x', { settings: options }), /settings/)
  }
  await fails(() => connect(new URL('shm:/nowhere/at/all.sock')), ConnectionRefusedError,
    'ANZ_ECONNREFUSED', /nowhere/)
  await invalid(() => connect('inproc:x', { configFile: 5 }), /path/)
  await invalid(() => connect('inproc:x', { configFile: '' }), /configFile.*empty/)
  await invalid(() => connect('inproc:x', { unreadBytesMax: 5n }), /unreadBytesMax.*5n/)
  await invalid(() => connect('inproc:x', { signal: 5 }), /AbortSignal/)
  await fails(() => connect('nonsense:x'), AnasaziError, 'ANZ_EINVAL', /nonsense/)
  await fails(() => connect('inproc:a\0b'), AnasaziError, 'ANZ_EINVAL', /character 0/)
  await fails(() => connect('shm:/nowhere/at/all.sock'), ConnectionRefusedError,
    'ANZ_ECONNREFUSED', /nowhere/)
  const settings = { 'no.such.key': 1 }
  await fails(() => connect('inproc:x', { settings }), ConfigError, 'ANZ_ECONFIG', /no\.such\.key/)
  const range = { 'connect.timeout_ms': 0 }
  await fails(() => connect({ settings: range }), ConfigError, 'ANZ_ECONFIG', /1.*600000/)
  await fails(() => connect({ configFile: '/nowhere.toml' }), ConfigError, 'ANZ_ECONFIG', /nowhere/)
  await assert.rejects(connect('inproc:x', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.throws(() => hasFeature(5), InvalidArgumentError)
})

test('engines that cannot be made', async () => {
  const make = (options) => async () => new Engine(options)
  await invalid(make({ drive: 'magic' }), /loop.*thread/)
  await invalid(make(5), /object/)
  await invalid(make({ driven: 'loop' }), /"driven".*drive/)
  await fails(make({ settings: { 'no.such.key': '1' } }), ConfigError, 'ANZ_ECONFIG', /no\.such/)
})

test('groups that cannot be joined', async (t) => {
  const { connection } = await member(t, 'names')
  for (const name of wrong) await invalid(() => connection.join(name), /name/)
  const refused = {
    '': /empty/, ['x'.repeat(256)]: /256/, ['ä'.repeat(128)]: /256/, 'a\0b': /character 0/,
    'a\ud800': /surrogates/
  }
  for (const [name, words] of Object.entries(refused)) {
    await invalid(() => connection.join(name), words)
  }
  await invalid(() => connection.join('other', { sendonly: true }), /"sendonly".*sendOnly/)
  // There is no such domain; it is told which there are.
  await fails(() => connection.join('domain/name'), AnasaziError, 'ANZ_EINVAL', /default/)
  await fails(() => connection.join('room'), ExistsError, 'ANZ_EEXIST', /"room".*left/)
  connection.peer({ node: '1', session: '2' })
  await fails(async () => connection.peer({ node: '01', session: '2' }), ExistsError, 'ANZ_EEXIST',
    /1\/2.*leave/)
  await fails(async () => connection.peer({ node: '4294967296', session: '1' }),
    InvalidArgumentError, 'ANZ_EINVAL', /4294967296\/1.*view/)
  for (const sendOnly of ['yes', 0, null]) {
    await invalid(() => connection.join('other', { sendOnly }), /sendOnly is true or false/)
  }
  await invalid(() => connection.join('other', 5), /object/)
  await invalid(() => connection.join('other', { unreadEventsMax: -1 }), /unreadEventsMax/)
  await invalid(() => connection.join('other', { signal: {} }), /AbortSignal/)
  for (const name of ['ä'.repeat(127), ' ']) {
    assert.equal((await soon(connection.join(name))).closed, false)
  }
})

test('messages that cannot be sent', async (t) => {
  const { connection, group } = await member(t, 'messages')
  for (const data of [...wrong, undefined]) {
    await invalid(() => group.mcast(data), /message/)
    assert.throws(() => group.tryMcast(data), InvalidArgumentError)
  }
  const options = { service: 'best', priority: 'first', signal: 5 }
  for (const [key, value] of Object.entries(options)) {
    await invalid(() => group.mcast('x', { [key]: value }), /./)
  }
  for (const service of wrong.filter((value) => value !== null)) {
    await invalid(() => group.mcast('x', { service }), /service/)
    await invalid(() => group.mcast('x', { priority: service }), /priority/)
  }
  await invalid(() => group.mcast('x', null), /object/)
  const huge = [group.mcast, group.tryMcast].map((send) => async () => {
    await send.call(group, Buffer.alloc(64 << 20))
  })
  for (const send of huge) {
    await fails(send, MessageSizeError, 'ANZ_EMSGSIZE',
      /"room" has 67108864 .*message\.len_max says, 1 MiB/)
  }
  await fails(() => group.mcast(Buffer.alloc(1025), { service: 'unreliable' }), MessageSizeError,
    'ANZ_EMSGSIZE', /1025 bytes.*unreliable.*1024/)
  for (const flag of ['sameView', 'self']) {
    for (const value of [0, 'no', null]) {
      await invalid(() => group.mcast('x', { [flag]: value }), new RegExp(`${flag} is true or`))
    }
  }
  await invalid(() => group.mcast('x', { service: 'unreliable', sameView: true }), /unreliable/)
  for (const groups of [[], 5, null, [5], [group, null]]) {
    await invalid(() => connection.mcast(groups, 'x'), /groups/)
  }
  const other = await member(t, 'messages')
  await invalid(() => connection.mcast([group, other.group], 'x'), /this connection/)
  const peer = connection.peer(connection.self)
  await invalid(() => connection.mcast([group, group], 'x'), /"room" is twice/)
  await invalid(() => connection.mcast(Array(65).fill(group), 'x'), /64/)
  await invalid(() => connection.mcast(new Array(3), 'x'), /groups/)
  await invalid(() => connection.mcast([group, peer], 'x'), /member/)
  const outside = await connection.join('outside', { sendOnly: true })
  for (const to of [outside, peer]) await invalid(() => to.mcast('x', { sameView: true }), /member/)
  await invalid(() => group.mcast('x', { sameview: true }), /"sameview".*sameView/)
  await invalid(() => group.mcast('x', { priority: 'toString' }), /toString/)
  for (const signal of [new EventTarget(), null]) {
    await invalid(() => group.mcast('x', { signal }), /AbortSignal/)
    await invalid(() => group.writable({ signal }), /AbortSignal/)
  }
  for (const to of [...wrong, { node: 1, session: 2 }, { node: '-1', session: 'x' }]) {
    assert.throws(() => connection.peer(to), InvalidArgumentError)
    assert.throws(() => connection.memberName(to), InvalidArgumentError)
  }
  for (const [number, words] of [
    ['18446744073709551616', /18446744073709551615, and not "18446744073709551616"/],
    ['-1', /whole number.*"-1"/], ['1.5', /whole number.*"1\.5"/], ['', /whole number/],
    ['1e3', /whole number/], [1, /text.*1: .*64 bits/], [-1.5, /text.*-1\.5: /], [1n, /text.*1n: /],
    [undefined, /text.*undefined/]
  ]) {
    for (const [what, to] of [['node', { node: number, session: '1' }],
      ['session', { node: '1', session: number }]]) {
      for (const call of ['peer', 'memberName']) {
        await invalid(async () => connection[call](to), new RegExp(`the ${what} of.*`))
        await invalid(async () => connection[call](to), words)
      }
    }
  }
  await fails(() => connection.query({ query: 'x'.repeat(70_000) }), MessageSizeError,
    'ANZ_EMSGSIZE', /70012 bytes/)
  for (const question of [5, null, undefined, 'x']) {
    await invalid(() => connection.query(question), /query/)
  }
  const round = {}
  round.round = round
  for (const question of [{ a: 1n }, round, { toJSON () {} }, new Map()]) {
    await invalid(() => connection.query(question), /query/)
  }
  await invalid(() => connection.query({ query: 'nonsense' }), /nonsense.*status/)
  await invalid(() => connection.query({ query: 'status' }, { signal: 5 }), /AbortSignal/)
  assert.equal(await soon(group.mcast('still well')), 1)
})

test('more groups than a session can hold', async (t) => {
  const { connection } = await member(t, 'many')
  const joins = Array.from({ length: 4095 }, (_, at) => {
    return connection.join(`${at}`, { sendOnly: true })
  })
  const groups = await soon(Promise.all(joins))
  const tooMany = (call, words) => fails(call, OutOfMemoryError, 'ANZ_ENOMEM', words)
  await tooMany(() => connection.join('late'), /group "late".*4096 groups; leave some/)
  await tooMany(() => connection.peer({ node: '5', session: '6' }).mcast('x'), /"5\/6".*4096/)
  // All is well with those that are there, and once some are left there is room.
  assert.equal(await soon(groups[0].mcast('x')), 0)
  await soon(groups[0].leave())
  assert.equal((await soon(connection.join('late'))).view.members.length, 1)
})

test('memory that is gone is not sent as if it were empty', async (t) => {
  const { group } = await member(t, 'memory')
  const views = [Uint8Array, Float64Array, DataView, Buffer]
  const over = (buffer) => [buffer, ...views.map((View) => View === Buffer
    ? Buffer.from(buffer, 8, 8)
    : new View(buffer, 8))]
  const [moved, shrunk] = [new ArrayBuffer(16), new ArrayBuffer(16, { maxByteLength: 16 })]
  const gone = [...over(moved), ...views.map((View) => View === Buffer
    ? Buffer.from(shrunk, 8, 8)
    : new View(shrunk, 8, 8 / (View.BYTES_PER_ELEMENT ?? 1)))]
  structuredClone(moved, { transfer: [moved] })
  shrunk.resize(4)
  for (const data of gone) {
    await invalid(() => group.mcast(data), /memory/)
    assert.throws(() => group.tryMcast(data), InvalidArgumentError)
  }
  // What is empty is well, and so is what comes from elsewhere, or is shared.
  const shared = new Uint8Array(new SharedArrayBuffer(3))
  const foreign = vm.runInNewContext('[new ArrayBuffer(3), new Uint8Array(3), new DataView(' +
    'new ArrayBuffer(3)), new SharedArrayBuffer(3)]')
  const reader = group[Symbol.asyncIterator]()
  for (const data of [new Uint8Array(0), new ArrayBuffer(0), shared, ...foreign]) {
    await soon(group.mcast(data, vm.runInNewContext('({ service: "safe" })')))
    assert.equal((await next(reader, 'message')).data.length, data.byteLength)
  }
})

test('what only this package makes', async () => {
  for (const Class of [Connection, Address, Group, Peer]) {
    await invalid(async () => new Class(), /made by connect/)
  }
})

test('what has ended', async (t) => {
  const { connection, group } = await member(t, 'ended')
  const unread = group.mcast('x')
  await group.leave()
  assert.equal(await unread, 1)
  await fails(() => group.mcast('x'), ClosedError, 'ANZ_ECLOSED', /./)
  await fails(async () => group.tryMcast('x'), ClosedError, 'ANZ_ECLOSED', /./)
  const events = []
  for await (const event of group) events.push(event.type)
  assert.deepEqual(events, ['view', 'message'], 'what came before can still be read')
  const pending = connection.join('late')
  const refused = fails(() => pending, ClosedError, 'ANZ_ECLOSED', /./)
  await connection.close()
  await refused
  await fails(() => connection.join('room'), ClosedError, 'ANZ_ECLOSED', /./)
  await fails(() => connection.mcast([group], 'x'), ClosedError, 'ANZ_ECLOSED', /./)
  await fails(() => connection.query({ query: 'status' }), ClosedError, 'ANZ_ECLOSED', /./)
  await fails(async () => connection.stats(), ClosedError, 'ANZ_ECLOSED', /./)
  assert.throws(() => connection.peer({ node: '1', session: '1' }), ClosedError)
  assert.throws(() => connection.memberName({ node: '1', session: '1' }), ClosedError)
  assert.notEqual(connection.self, undefined)
  connection.ref().unref()
  assert.equal((await connection[Symbol.asyncIterator]().next()).done, true)
})

test('closing rejects what is awaited', async (t) => {
  const { connection, group } = await member(t, 'awaited')
  const sends = Array.from({ length: 100 }, () => group.mcast(Buffer.alloc(100_000)))
  const reads = group[Symbol.asyncIterator]()
  await next(reads, 'view')
  const ends = reads.next()
  await connection.close()
  const results = await soon(Promise.allSettled(sends))
  for (const { reason } of results) assert.ok(reason === undefined || reason instanceof ClosedError)
  assert.ok(results.some(({ status }) => status === 'rejected'))
  assert.equal((await soon(ends)).done, true)
})

test('a second reader', async (t) => {
  const { connection, group } = await member(t, 'readers')
  const first = group[Symbol.asyncIterator]()
  const busy = (call) => fails(async () => call(), BusyError, 'ANZ_EBUSY', /read/)
  await busy(() => group[Symbol.asyncIterator]())
  await busy(() => group.batches())
  await first.return()
  assert.equal((await first.next()).done, true)
  const second = group.batches()
  await assert.rejects(second.throw(new RangeError('mine')), RangeError)
  for await (const event of group) {
    assert.equal(event.type, 'view')
    break
  }
  connection[Symbol.asyncIterator]()
  await busy(() => connection[Symbol.asyncIterator]())
})

test('an exception in a loop ends the loop, and nothing else', async (t) => {
  const { group } = await member(t, 'loop')
  for (let round = 0; round < 3; round++) {
    await group.mcast(`${round}`)
    await assert.rejects(async () => {
      for await (const event of group) {
        if (event.type === 'message') throw new RangeError(`${event.data}`)
      }
    }, { name: 'RangeError', message: `${round}` })
  }
})

test('an exception in a listener is uncaught, as ever, and nothing is lost for it', async (t) => {
  const program = script(t, `
    import { connect } from 'anasazi'
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    const settings = { cluster: 'l-' + process.pid }
    const connection = await connect('inproc:listener', { settings })
    connection.on('close', () => { throw new Error('from close') })
    const group = await connection.join('room')
    group.on('drain', () => { throw new Error('from drain') })
    const other = await connection.join('other')
    other.on('left', () => { throw new Error('from left') })
    // Until all of it has come: one batch.
    const wait = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150)
    other.leave()
    wait()
    const behind = Array.from({ length: 100 }, () => group.mcast(''))
    wait()
    await Promise.all(behind)
    let sent = 0
    while (group.waiting.size === 0) { group.mcast(Buffer.alloc(100_000)); sent++ }
    group.tryMcast('x')
    let got = 0
    for await (const event of group) if (event.type === 'message' && ++got === sent + 100) break
    console.log('all came')
    await connection.close()
  `)
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed.sort(),
    ['all came', 'uncaught from close', 'uncaught from drain', 'uncaught from left'])
})

test('too many sends that wait', async (t) => {
  const { group } = await member(t, 'flood')
  const sends = Array.from({ length: 900 }, () => group.mcast(Buffer.alloc(100_000)))
  const results = await soon(Promise.allSettled(sends))
  const refused = results.filter(({ reason }) => reason?.code === 'ANZ_EAGAIN')
  assert.ok(refused.length > 0 && refused.every(({ reason }) => reason.retryable))
  assert.match(refused[0].reason.message, /await/)
})

test('an error of a connection is not thrown where nobody listens', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a', ['client.backlog_len=8 MiB', 'client.backlog_total=64 MiB'])
  const program = script(t, `
    import { connect } from 'anasazi'
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    const connection = await connect(process.argv[2])
    connection.on('close', (error) => console.log('closed', error.code))
    await connection.join('room', { unreadEventsMax: 10 })
    const sender = await connect(process.argv[2])
    const group = await sender.join('room', { sendOnly: true })
    for (let at = 0; at < 40; at++) await group.mcast(Buffer.alloc(500_000))
    await sender.close()
  `, [cluster.url('a')])
  await program.expect('closed ANZ_ESLOW')
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['closed ANZ_ESLOW'])
})
