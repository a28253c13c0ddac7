// Programs that do what they should not: an exception, and all goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Address, Connection, ClosedError, connect, Group, InvalidArgumentError } from 'anasazi'
import { Cluster, member, next, open, script, soon } from './place.mjs'

test('methods that are called on what they do not belong to', async (t) => {
  const { connection, group } = await member(t, 'this')
  const all = [[connection, Connection], [group, Group], [group, Address]]
  for (const [own, Class] of all) {
    for (const [name, of] of Object.entries(Object.getOwnPropertyDescriptors(Class.prototype))) {
      if (name.startsWith('_') || name === 'constructor') continue
      for (const other of [undefined, {}, own === group ? connection : group]) {
        const call = async () => (of.value ?? of.get).call(other, 'x')
        // Or that the argument is wrong, where this comes first.
        await assert.rejects(soon(call()), (error) => error instanceof TypeError ||
          error instanceof InvalidArgumentError, `${Class.name}.${name} of ${other}`)
      }
    }
  }
  assert.equal(await soon(group.mcast('well')), 1)
})

test('what a group is cannot be written over', async (t) => {
  const { group } = await member(t, 'frozen')
  for (const name of ['view', 'waiting', 'number', 'name', 'unread', 'sendOnly', 'connection']) {
    assert.throws(() => { group[name] = 5 }, TypeError, name)
  }
  assert.throws(() => group.view.members.push(5), TypeError)
  assert.equal(await soon(group.mcast('x', { sameView: true })), 1)
})

test('prototypes that are tampered with', async (t) => {
  const program = script(t, `
    import { connect } from 'anasazi'
    for (const name of ['colour', 'retryable', 'status', 'member', 'type', 'length']) {
      Object.prototype[name] = 'polluted'
    }
    Array.prototype.extra = () => {}
    const settings = { cluster: 'tampered-' + process.pid }
    const connection = await connect('inproc:tampered', { settings })
    const group = await connection.join('room', { unreadEventsMax: 100 })
    console.log(await group.mcast('x', { service: 'safe' }))
    console.log(await connection.mcast([group], 'y'))
    for await (const { type, data } of group) {
      if (type !== 'message') continue
      console.log(data.toString())
      break
    }
    await group.mcast('x', { colour: 1 }).catch(({ code }) => console.log(code))
    await connection.close()
  `)
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['1', '2', 'x', 'ANZ_EINVAL'])
})

test('options whose getters close what they are for', async (t) => {
  const { connection, group } = await member(t, 'getters')
  const left = { get signal () { void group.leave(); return undefined } }
  await assert.rejects(soon(group.mcast('x', left)), { code: 'ANZ_ENOTMEMBER' })
  const question = { toJSON () { void connection.close(); return {} } }
  await assert.rejects(soon(connection.query(question)), ClosedError)
  const other = await member(t, 'getters')
  const closed = { get service () { void other.connection.close(); return 'agreed' } }
  await assert.rejects(soon(other.group.mcast('x', closed)), ClosedError)
  const mine = new Proxy({}, { getPrototypeOf () { throw new RangeError('mine') } })
  await assert.rejects((await member(t, 'getters')).group.mcast('x', mine), RangeError)
})

test('the memory of a message stays here, and copies of objects are harmless', async (t) => {
  const { connection, group } = await member(t, 'clones')
  const reader = group[Symbol.asyncIterator]()
  await group.mcast('hello')
  const message = await next(reader, 'message')
  try {
    // Versions of Node copy it, or throw.
    structuredClone(message.data, { transfer: [message.data.buffer] })
  } catch (error) {
    assert.equal(error.name, 'DataCloneError')
  }
  assert.equal(message.data.toString(), 'hello')
  assert.equal(structuredClone(message).seq, 1)
  assert.deepEqual(structuredClone(message.sender), { ...message.sender })
  const copy = structuredClone(connection)
  assert.throws(() => copy.join('x'), TypeError)
  assert.throws(() => connection.peer(structuredClone(group)), InvalidArgumentError)
  assert.equal(connection.memberName(structuredClone(connection.self)),
    connection.memberName(connection.self))
})

test('a promise that fails and that nobody handles ends the process, as ever', async (t) => {
  const program = script(t, `
    import { connect } from 'anasazi'
    const connection = await connect('inproc:nobody', { settings: { cluster: 'n-' + process.pid } })
    const group = await connection.join('room')
    group.tryMcast('nobody asks for this one')
    group.mcast('under way')
    await connection.close()
    setTimeout(() => console.log('too late'), 1000)
  `)
  assert.equal(await program.end(), 1)
  assert.match(program.errors, /ClosedError: the connection was closed/)
  assert.deepEqual(program.printed, [])
})

test('connections that are closed, and then nobody holds, are gone', async (t) => {
  const program = script(t, `
    import { connect } from 'anasazi'
    import fs from 'node:fs'
    const settings = { cluster: 'gone-' + process.pid }
    const held = await connect('inproc:gone', { settings })
    const files = () => fs.readdirSync('/proc/self/fd').length
    const all = []
    let before
    for (let round = 0; round < 60; round++) {
      const connection = await connect('inproc:gone', { settings })
      const group = await connection.join('room')
      await group.mcast(Buffer.alloc(1000))
      all.push(new WeakRef(connection), new WeakRef(group))
      await connection.close()
      if (round === 20) before = files()
    }
    const alive = () => { gc(); return all.filter((ref) => ref.deref() !== undefined).length }
    for (let round = 0; alive() > 4 && round < 100; round++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    console.log(alive() <= 4, files() - before <= 4)
    await held.close()
  `)
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['true true'])
})

test('a daemon that stands still holds up no end', async (t) => {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('a')
  const connection = await connect(cluster.url('a'))
  t.after(() => connection.close())
  const group = await connection.join('room')
  daemon.child.kill('SIGSTOP')
  const sends = Array.from({ length: 5000 }, () => group.mcast(Buffer.alloc(1000)))
  const asked = [connection.join('other'), connection.query({ query: 'status' }), group.leave()]
  const ended = Promise.allSettled([...sends, ...asked])
  await new Promise((resolve) => setTimeout(resolve, 50))
  await soon(connection.close(), 'closing')
  const results = await soon(ended, 'the ends')
  assert.equal(results.at(-1).status, 'fulfilled', 'closed is left')
  for (const { reason } of results.slice(0, -1)) {
    assert.ok(reason instanceof ClosedError, `${reason}`)
  }
})

test('threads share an engine, and each has its own connection', async (t) => {
  const connection = await open(t, 'threads')
  const group = await connection.join('room')
  const text = `
    import { connect } from 'anasazi'
    import { Worker, isMainThread, threadId } from 'node:worker_threads'
    import { fileURLToPath } from 'node:url'
    const settings = { cluster: 'threads-' + process.pid }
    const connection = await connect('inproc:threads', { settings })
    const group = await connection.join('room', { unreadEventsMax: 100_000 })
    if (isMainThread) {
      for (let at = 0; at < 4; at++) new Worker(fileURLToPath(import.meta.url))
    }
    // All five are there, each sends a thousand, and all see one order.
    for await (const { type, members } of group) {
      if (type === 'view' && members.length === 5) break
    }
    for (let at = 0; at < 1000; at++) group.mcast(threadId + '.' + at).catch(() => {})
    let hash = 0, seen = 0
    for await (const { type, data } of group) {
      if (type !== 'message') continue
      for (const byte of data) hash = (hash * 31 + byte) | 0
      if (++seen === 5000) break
    }
    console.log('order', hash)
    await connection.close()
  `
  const program = script(t, text)
  assert.equal(await program.end(), 0, program.errors)
  assert.equal(program.printed.length, 5)
  assert.equal(new Set(program.printed).size, 1, program.printed.join())
  assert.equal(await group.mcast('x'), 1)
})
