// Over a daemon: several processes, several languages; daemons that die and come back.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { connect } from 'anasazi'
import { Cluster, compiled, installed, next, Program, script, soon, until } from './place.mjs'

const example = (t, name, args, env) =>
  new Program(t, process.execPath, [path.join(installed, 'examples', name), ...args], env)

test('a daemon that dies is an event, and it goes on with the next one', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  const connection = await connect(cluster.url('a'))
  t.after(() => connection.close())
  const group = await connection.join('room')
  const reader = group[Symbol.asyncIterator]()
  await group.mcast('before')
  const [before, firstView] = [connection.self, group.view.id]
  const suspended = once(connection, 'suspended')
  const resumed = once(connection, 'resumed')
  daemon.child.kill('SIGKILL')
  const [reason] = await soon(suspended, 'suspended')
  assert.match(reason, /connect/)
  // Waits for the connection.
  const during = group.mcast('during')
  assert.equal(group.tryMcast('there is no room'), false)
  const drained = once(group, 'drain')
  await cluster.daemon('a')
  const [self] = await soon(resumed, 'resumed')
  assert.equal(typeof await soon(during), 'number')
  await soon(drained, 'drain')
  assert.equal(self, connection.self)
  assert.notEqual(self, before)
  assert.equal((await next(reader, 'suspended')).reason, reason)
  assert.equal((await next(reader, 'resumed')).self, self)
  const view = await next(reader, 'view')
  assert.deepEqual(view.members, [self])
  assert.notEqual(view.id, firstView)
  assert.equal((await next(reader, 'message')).data.toString(), 'during')
  assert.equal(connection.stats().reconnects, 1)
})

test('sameView is for the view before a daemon died, even if all comes at once', async (t) => {
  const cluster = await Cluster.start(t)
  const further = ['transport.multicast=off', `transport.bind=127.0.0.1:${cluster.port}`]
  let daemon = await cluster.daemon('a', further)
  const connection = await connect(cluster.url('a'))
  t.after(() => connection.close())
  const group = await connection.join('room')
  const texts = []
  ;(async () => {
    for await (const event of group) if (event.type === 'message') texts.push(`${event.data}`)
  })()
  // So long that more or less comes in one batch.
  for (const wait of [0, 300, 0, 1, 300, 0, 300]) {
    const suspended = once(connection, 'suspended')
    connection.once('resumed', () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, wait)
    })
    daemon.child.kill('SIGKILL')
    await soon(suspended, 'suspended')
    const before = group.mcast('before')
    const unseen = group.mcast('not for me', { self: false })
    const refused = group.mcast('refused', { sameView: true }).then(String, ({ code }) => code)
    const after = group.mcast('after')
    await new Promise((resolve) => setTimeout(resolve, 300))
    daemon = await cluster.daemon('a', further)
    await soon(Promise.all([before, unseen, after]))
    assert.equal(await soon(refused), 'ANZ_EVIEW')
    await until(() => texts.length >= 2, 'the messages')
    assert.deepEqual(texts.splice(0), ['before', 'after'])
  }
})

test('what was under way when a daemon dies is lost, with an error that says so', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  const connection = await connect(cluster.url('a'))
  t.after(() => connection.close())
  const group = await connection.join('room')
  daemon.child.kill('SIGSTOP')
  const send = group.mcast('x', { signal: AbortSignal.timeout(15_000) })
  send.catch(() => {})
  daemon.child.kill('SIGKILL')
  await daemon.end()
  await cluster.daemon('a')
  await assert.rejects(soon(send), { code: 'ANZ_ELOST', name: 'MessageLostError' })
  assert.equal(typeof await soon(group.mcast('y')), 'number')
})

test('what is asked for while a daemon dies, and while there is none', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  const connection = await connect(cluster.url('a'))
  t.after(() => connection.close())
  const [first, second] = [await connection.join('first'), await connection.join('second')]
  const ask = () => connection.query({ query: 'status' }).catch((error) => error)
  daemon.child.kill('SIGSTOP')
  const [asked, left] = [ask(), first.leave()]
  const joined = connection.join('third')
  const suspended = once(connection, 'suspended')
  daemon.child.kill('SIGKILL')
  await soon(suspended, 'suspended')
  assert.equal((await soon(asked, 'the answer')).code, 'ANZ_ELOST')
  assert.equal((await soon(ask(), 'the answer')).code, 'ANZ_EAGAIN')
  const leftLater = second.leave()
  await cluster.daemon('a')
  await soon(Promise.all([left, leftLater, joined]), 'leaving and joining')
  assert.equal((await soon(ask())).state, 'operational')
})

test('a session that is cut off as slow is told, and so is who reads', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a', ['client.backlog_len=8 MiB', 'client.backlog_total=64 MiB'])
  const connection = await connect(cluster.url('a'))
  const group = await connection.join('room', { unreadEventsMax: 10 })
  const sender = await connect(cluster.url('a'))
  const other = await sender.join('room')
  t.after(() => Promise.all([connection.close(), sender.close()]))
  const sent = (async () => {
    for (let at = 0; at < 40; at++) await other.mcast(Buffer.alloc(500_000))
  })()
  const reads = (async () => { for await (const event of other) void event })()
  await soon(sent)
  const failed = new Promise((resolve) => connection.once('close', resolve))
  const toldOf = new Promise((resolve) => connection.once('error', resolve))
  await assert.rejects(soon((async () => { for await (const event of group) void event })()),
    { code: 'ANZ_ESLOW', name: 'SlowReceiverError' })
  assert.equal((await failed).code, 'ANZ_ESLOW')
  assert.equal(await failed, await toldOf)
  assert.equal(connection.closed, true)
  await sender.close()
  await reads
})

test('a session that is cut off while nobody reads is told all the same', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a', ['client.backlog_len=8 MiB', 'client.backlog_total=64 MiB'])
  for (const len of [500_000, 5000]) {
    const connection = await connect(cluster.url('a'))
    const closed = new Promise((resolve) => connection.once('close', resolve))
    const group = await connection.join('room', { unreadEventsMax: 10 })
    const quiet = await connection.join('quiet')
    const waits = (async () => { for await (const event of quiet) void event })()
    const sender = await connect(cluster.url('a'))
    const other = await sender.join('room', { sendOnly: true })
    t.after(() => Promise.all([connection.close(), sender.close()]))
    for (let sent = 0; sent < 20_000_000; sent += len) await other.mcast(Buffer.alloc(len))
    assert.equal((await soon(closed, 'the end')).code, 'ANZ_ESLOW')
    await assert.rejects(soon(waits), { code: 'ANZ_ESLOW' })
    assert.ok(group.closed)
    await sender.close()
  }
})

test('gaps are told', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a', ['client.backlog_len=8 MiB', 'client.backlog_total=64 MiB'])
  const settings = { 'session.slow_policy': 'gap' }
  const connection = await connect(cluster.url('a'), { settings })
  const group = await connection.join('room', { unreadEventsMax: 10 })
  const sender = await connect(cluster.url('a'))
  const other = await sender.join('room', { sendOnly: true })
  t.after(() => Promise.all([connection.close(), sender.close()]))
  for (let at = 0; at < 40; at++) await other.mcast(Buffer.alloc(500_000))
  let [messages, skipped] = [0, 0]
  for await (const event of group) {
    if (event.type === 'message') messages++
    if (event.type === 'gap') skipped += event.skipped
    if (messages + skipped === 40) break
  }
  assert.ok(skipped > 0 && messages > 0, `${messages} and ${skipped}`)
})

test('a daemon that does not let us in', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  daemon.child.kill('SIGTERM')
  await daemon.end()
  const refused = await soon(connect(cluster.url('a')).catch((error) => error))
  assert.equal(refused.code, 'ANZ_ECONNREFUSED')
  assert.equal(refused.retryable, true)
  const started = Date.now()
  const settings = { 'connect.async': true }
  const connection = await connect(cluster.url('a'), { settings })
  assert.ok(Date.now() - started < 2000)
  const joined = connection.join('room')
  await cluster.daemon('a')
  const group = await soon(joined, 'joining')
  assert.equal(group.view.members.length, 1)
  await connection.close()
})

test('replicas in C and here stay equal', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a')
  const url = cluster.url('a')
  const replicas = [
    example(t, 'dictionary.mjs', ['store', url]),
    new Program(t, path.join(compiled, 'kv'), ['store', url]),
    example(t, 'dictionary.mjs', ['store'], { ANASAZI_URL: url })
  ]
  const states = []
  for (const [number, replica] of replicas.entries()) {
    const set = (_, at) => `set key${at % 7} ${number}-${at}\n`
    const sets = Array.from({ length: 50 }, set).join('')
    replica.type(`await 3 0\n${sets}await 3 150\ndump\n`)
  }
  for (const replica of replicas) {
    await replica.expect('version 150')
    states.push(replica.printed.filter((line) => line.startsWith('set ')).sort())
  }
  assert.equal(states[0].length, 7)
  assert.deepEqual(states[1], states[0])
  assert.deepEqual(states[2], states[0])
  // Who comes later gets it all, of whichever language.
  const late = example(t, 'dictionary.mjs', ['store', url])
  late.type('await 4 150\nset late yes\nawait 4 151\nget late\ndump\n')
  await late.expect('yes')
  await late.expect('version 151')
  const lateInC = new Program(t, path.join(compiled, 'kv'), ['store', url])
  lateInC.type('await 5 151\nget late\ndump\n')
  await lateInC.expect('yes')
  await lateInC.expect('version 151')
  const all = [...replicas, late, lateInC]
  for (const replica of all) replica.child.stdin.end()
  for (const replica of all) assert.equal(await replica.end(), 0, replica.errors)
})

test('chats in C and here show the same, through a daemon that dies', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  const url = cluster.url('a')
  const chats = [
    example(t, 'chat.mjs', ['-u', url, '-n', '4', 'room']),
    new Program(t, path.join(compiled, 'chat'), ['-u', url, '-n', '4', 'room']),
    new Program(t, process.execPath, [path.join(installed, 'bin', 'anasazi.js'), 'chat', 'room',
      '--url', url, '--name', 'ada'])
  ]
  for (const chat of chats) await chat.expect('* 3 here')
  daemon.child.kill('SIGKILL')
  for (const chat of chats) await chat.expect('connecting again')
  await cluster.daemon('a')
  for (const chat of chats) await chat.expect('* 3 here')
  chats[0].type('one\ntwo\n')
  chats[1].type('three\n')
  chats[2].type('four\n')
  const said = (chat) => chat.printed.filter((line) => !line.startsWith('*'))
  await until(() => said(chats[2]).length === 4, 'the messages')
  chats[2].child.stdin.end()
  for (const chat of chats) assert.equal(await chat.end(), 0, chat.errors)
  const lines = chats.map((chat) => said(chat).map((line) => line.replace(/[[\]:]/g, '')))
  assert.deepEqual(lines[0], lines[1])
  assert.deepEqual(lines[2], lines[0])
  assert.deepEqual(lines[0].map((line) => line.split(' ').slice(1).join(' ')).sort(),
    ['ada four', 'one', 'three', 'two'])
})

test('one leads', async (t) => {
  const cluster = await Cluster.start(t)
  await cluster.daemon('a')
  const programs = []
  for (let count = 1; count <= 3; count++) {
    programs.push(example(t, 'leader.mjs', ['leaders', cluster.url('a')]))
    programs[0].type(`await ${count}\n`)
    await programs[0].expect(`of ${count}`)
  }
  const told = []
  for (const program of programs) {
    if (program !== programs[0]) await program.expect('of 3')
    program.type('await 3\nleader\n')
    told.push((await program.expect('of 3')).split(' ')[1])
  }
  assert.deepEqual(told, [told[0], told[0], told[0]])
  programs[0].child.stdin.end()
  assert.equal(await programs[0].end(), 0, programs[0].errors)
  const next = [await programs[1].expect('of 2'), await programs[2].expect('of 2')]
  assert.equal(next[0], next[1])
  assert.ok(!next[0].includes(told[0]))
  for (const program of programs.slice(1)) program.child.stdin.end()
  for (const program of programs.slice(1)) assert.equal(await program.end(), 0, program.errors)
})

test('two processes without a daemon', async (t) => {
  const cluster = await Cluster.start(t)
  const text = `
    import { connect } from 'anasazi'
    const settings = Object.fromEntries(process.argv.slice(2).map((setting) => setting.split('=')))
    await using_(await connect('inproc:own', { settings }))
    async function using_ (connection) {
      const group = await connection.join('room')
      for await (const event of group) {
        if (event.type === 'view' && event.members.length === 2) break
      }
      console.log('place', await group.mcast('x'))
      while (group.view.members.length === 2 && process.argv.includes('stay=1')) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      await connection.close()
    }
  `
  const programs = [script(t, text, cluster.settings), script(t, text, cluster.settings)]
  for (const program of programs) await program.expect('place')
  for (const program of programs) assert.equal(await program.end(), 0, program.errors)
})
