// Engines of one's own, in the loop and in a thread.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import { test } from 'node:test'
import { connect, Engine } from 'anasazi'
import { Cluster, next, script, soon, until } from './place.mjs'

for (const drive of ['loop', 'thread']) {
  test(`an engine in a ${drive}`, async () => {
    const engine = new Engine({ drive, settings: { cluster: `engine-${process.pid}-${drive}` } })
    const [ada, ben] = [await engine.connect(), await engine.connect()]
    const [here, there] = [await ada.join('room'), await ben.join('room')]
    const reader = here[Symbol.asyncIterator]()
    await Promise.all(Array.from({ length: 500 }, (_, at) => there.mcast(`${at}`)))
    for (let at = 0; at < 500; at++) {
      assert.equal((await next(reader, 'message')).data.toString(), `${at}`)
    }
    engine.unref().ref()
    const closed = once(ada, 'close')
    await soon(Promise.all([engine.close(), engine.close()]))
    await closed
    assert.ok(ada.closed && ben.closed)
    await assert.rejects(engine.connect(), { code: 'ANZ_ECLOSED' })
    await engine[Symbol.asyncDispose]()
  })
}

test('engines that are being closed leave files alone', async (t) => {
  const cluster = await Cluster.start(t)
  const settings = Object.fromEntries(cluster.settings.map((setting) => setting.split('=')))
  const daemon = await cluster.daemon('stopped')
  const theirs = await connect(cluster.url('stopped'))
  t.after(() => theirs.close())
  const room = await theirs.join('room')
  const engines = Array.from({ length: 6 }, () => new Engine({ drive: 'thread', settings }))
  for (const engine of engines) await soon((await engine.connect()).join('room'))
  await until(() => room.view.members.length === 7, 'the view of seven')
  // Leaving takes a while: somebody does not answer.
  daemon.child.kill('SIGSTOP')
  let closed = 0
  const begun = performance.now()
  const closing = engines.map((engine) => engine.close().then(() => closed++))
  await new Promise((resolve) => setTimeout(resolve, 1))
  await fs.readFile(new URL(import.meta.url))
  const [readMs, closedThen] = [performance.now() - begun, closed]
  await soon(Promise.all(closing))
  const closedMs = performance.now() - begun
  daemon.child.kill('SIGCONT')
  assert.ok(closedThen === 0 && readMs < closedMs / 2, `${closedThen}, ${readMs} of ${closedMs} ms`)
})

test('engines of one process in a cluster, left one after the other', async (t) => {
  const cluster = await Cluster.start(t)
  const settings = Object.fromEntries(cluster.settings.map((setting) => setting.split('=')))
  const engines = ['loop', 'thread', 'loop'].map((drive) => new Engine({ drive, settings }))
  const groups = []
  for (const engine of engines) groups.push(await soon((await engine.connect()).join('room')))
  await until(() => groups.every(({ view }) => view.members.length === 3), 'the view of three')
  assert.deepEqual(groups[0].view.members, groups[2].view.members)
  const places = await Promise.all(groups.map((group) => group.mcast('x')))
  assert.deepEqual(places.sort(), [1, 2, 3])
  await soon(engines[0].close(), 'leaving')
  await until(() => groups[1].view.members.length === 2, 'the view of two')
  await soon(Promise.all([engines[1].close(), engines[2].close()]), 'leaving')
})

for (const drive of ['loop', 'thread']) {
  test(`an engine in a ${drive} that nobody holds goes on, and holds the process`, async (t) => {
    const program = script(t, `
      import { Engine } from 'anasazi'
      const settings = { cluster: 'held-' + process.pid }
      const make = () => new Engine({ drive: process.argv[2], settings })
      const connection = await make().connect()
      connection.on('suspended', (reason) => console.log('suspended', reason))
      const group = await connection.join('room')
      for (let round = 0; round < 5; round++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      console.log(await group.mcast('x'))
      connection.unref()
    `, [drive])
    await program.expect('1')
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.equal(program.child.exitCode, null, program.errors)
    program.child.kill('SIGKILL')
    await program.end()
    const unheld = script(t, `
      import { Engine } from 'anasazi'
      new Engine({ drive: process.argv[2], settings: { cluster: 'un-' + process.pid } }).unref()
    `, [drive])
    assert.equal(await unheld.end(), 0, unheld.errors)
  })
}
