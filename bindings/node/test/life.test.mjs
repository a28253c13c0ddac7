// How environments end: workers that are terminated, processes that exit or have nothing to do.
// None may hang or abort; that is why the loop is woken as src/sys/watch.rs says.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { file, script } from './place.mjs'

/** Joins, reads, and sends as fast as it goes; says so once it does. */
const busy = `
  import { connect } from 'anasazi'
  import { parentPort, Worker } from 'node:worker_threads'
  const settings = { cluster: 'life-' + process.pid }
  const connection = await connect('inproc:life', { settings })
  const group = await connection.join('room')
  let seen = 0
  async function read () { for await (const event of group) if (event.type === 'message') seen++ }
  async function send () {
    for (;;) {
      const length = (at) => at % 2 ? 100 : 50_000
      const send = (_, at) => group.mcast(Buffer.alloc(length(at)))
      await Promise.all(Array.from({ length: 20 }, send))
    }
  }
`
const worker = `${busy}
  read()
  send()
  parentPort.postMessage('busy')
`

test('workers terminated in the midst of traffic, fifty times', async (t) => {
  const program = script(t, `${busy}
    import { readdirSync } from 'node:fs'
    const reading = read()
    const files = () => readdirSync('/proc/self/fd').length
    let before
    for (let round = 0; round < 50; round++) {
      const worker = new Worker(process.argv[2])
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await new Promise((resolve) => setTimeout(resolve, round % 13))
      await worker.terminate()
      if (round === 10) before = files()
    }
    await group.mcast('still well')
    // The engine sees that they are gone, and none has left a descriptor behind.
    while (group.view.members.length > 1) await new Promise((resolve) => setTimeout(resolve, 10))
    console.log('seen', seen > 50, 'files', files() - before < 8)
    await connection.close()
    await reading
  `, [file(t, worker)])
  assert.equal(await program.end(60_000), 0, program.errors)
  assert.deepEqual(program.printed, ['seen true files true'])
})

test('a worker terminated while it connects', async (t) => {
  const program = script(t, `
    import { Worker } from 'node:worker_threads'
    for (let round = 0; round < 10; round++) {
      const worker = new Worker(process.argv[2])
      worker.on('error', () => {})
      await new Promise((resolve) => worker.once('message', resolve))
      await new Promise((resolve) => setTimeout(resolve, round * 10))
      await worker.terminate()
    }
    console.log('done')
  `, [file(t, `
    import { connect } from 'anasazi'
    import { parentPort } from 'node:worker_threads'
    parentPort.postMessage('go')
    const settings = { cluster: 'c-' + process.pid, 'connect.timeout_ms': 300 }
    const urls = ['shm:/nowhere', 'inproc:c']
    await Promise.allSettled(urls.map((url) => connect(url, { settings })))
  `)])
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['done'])
})

test('a worker that ends by itself, with a connection that does not hold it', async (t) => {
  const program = script(t, `
    import { Worker } from 'node:worker_threads'
    const text = "(async () => { const c = await require('anasazi').connect('inproc:w'," +
      "{ settings: { cluster: 'w-' + process.pid } }); await c.join('room'); c.unref() })()"
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(process.argv[2])
      console.log(await new Promise((resolve) => worker.once('exit', resolve)))
    }
  `, [file(t, `
    import { connect } from 'anasazi'
    const connection = await connect('inproc:w', { settings: { cluster: 'w-' + process.pid } })
    await connection.join('room')
    connection.unref()
  `)])
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['0', '0', '0', '0', '0'])
})

const endings = {
  'process.exit() in the midst of traffic': [`${busy}
    read(); send()
    setInterval(() => { if (seen > 300) process.exit(7) }, 1)`, 7],
  'process.exit() from a loop over events': [`${busy}
    send()
    for await (const event of group) if (event.seq === 300) process.exit(8)`, 8],
  'an exception that nobody catches': [`${busy}
    read(); send()
    setTimeout(() => { throw new Error('mine') }, 50)`, 1],
  'the end without close, unref': [`${busy}
    read(); await group.mcast('x'); connection.unref()`, 0],
  'ref after unref': [`${busy}
    connection.unref(); connection.ref(); await group.mcast('x'); await connection.close()`, 0]
}
for (const [what, [text, status]] of Object.entries(endings)) {
  test(what, async (t) => {
    for (let round = 0; round < 3; round++) {
      const program = script(t, text)
      assert.equal(await program.end(), status, program.errors)
    }
  })
}

test('the main thread exits while workers live', async (t) => {
  for (const end of ['process.exit(5)', 'setTimeout(() => process.exit(5), 20)']) {
    const program = script(t, `${busy}
      const workers = Array.from({ length: 3 }, () => new Worker(process.argv[2]))
      read(); send()
      const isBusy = (worker) => new Promise((resolve) => worker.once('message', resolve))
      await Promise.all(workers.map(isBusy))
      ${end}
    `, [file(t, worker)])
    assert.equal(await program.end(), 5, program.errors)
  }
})

test('an open connection keeps the process, an idle one and one that is stalled', async (t) => {
  for (const further of ['', `
      for (let at = 0; at < 15; at++) await group.mcast('x')
      group.tryMcast('x')`]) {
    const program = script(t, `${busy.replace("'room'", "'room', { unreadEventsMax: 10 }")}
      ${further}
      console.log('idle')
    `)
    await program.expect('idle')
    await new Promise((resolve) => setTimeout(resolve, 400))
    assert.equal(program.child.exitCode, null, 'it stays')
    program.child.kill('SIGTERM')
    assert.equal(await program.end(), 'SIGTERM')
  }
})

test('an engine in the loop, at the end of its process', async (t) => {
  const text = `
    import { Engine } from 'anasazi'
    const engine = new Engine({ settings: { cluster: 'end-' + process.pid } })
    const connection = await engine.connect()
    const group = await connection.join('room')
    await group.mcast('x')
  `
  for (const [end, status] of [['process.exit(4)', 4], ['engine.unref(); connection.unref()', 0],
    ['await engine.close()', 0]]) {
    const program = script(t, text + end)
    assert.equal(await program.end(), status, program.errors)
  }
})

test('workers with engines of their own, terminated', async (t) => {
  const program = script(t, `
    import { Worker } from 'node:worker_threads'
    for (const drive of ['loop', 'thread', 'loop', 'thread']) {
      const worker = new Worker(process.argv[2], { workerData: drive })
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
      await new Promise((resolve) => setTimeout(resolve, 20))
      console.log(await worker.terminate())
    }
  `, [file(t, `
    import { Engine } from 'anasazi'
    import { parentPort, workerData } from 'node:worker_threads'
    const engine = new Engine({ drive: workerData, settings: { cluster: 'e-' + process.pid } })
    const group = await (await engine.connect()).join('room')
    parentPort.postMessage('busy')
    for (;;) await Promise.all(Array.from({ length: 20 }, () => group.mcast('x')))
  `)])
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['1', '1', '1', '1'])
})

/** Opens a connection to an engine that lets everybody in and says nothing, for ten minutes. */
const unanswered = `
  import { connect } from 'anasazi'
  import { Worker } from 'node:worker_threads'
  const settings = { 'connect.timeout_ms': 600_000 }
  const options = { settings, signal: undefined }
  const open = () => connect('unix:' + process.argv[2], options)
`
const unansweredEnds = {
  'process.exit()': ['open(); setTimeout(() => process.exit(3), 100)', 3],
  'an AbortSignal': [`
    options.signal = AbortSignal.timeout(100)
    await Promise.all(Array.from({ length: 8 }, () => open().catch(({ name }) => {
      if (name !== 'TimeoutError') throw new Error(name)
    })))`, 0],
  'the end of a worker': [`
    const worker = new Worker(process.argv[3], { argv: [process.argv[2]] })
    await new Promise((resolve) => worker.once('message', resolve))
    await worker.terminate()`, 0]
}
for (const [what, [text, status]] of Object.entries(unansweredEnds)) {
  test(`${what} does not wait for an engine that does not answer`, async (t) => {
    const socket = path.join(process.cwd(), `silent-${process.pid}-${status}-${what.length}`)
    const sockets = []
    const server = net.createServer((socket) => sockets.push(socket)).listen(socket)
    await once(server, 'listening')
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const worker = file(t, `${unanswered}
      import { parentPort } from 'node:worker_threads'
      open()
      setTimeout(() => parentPort.postMessage('waits'), 100)`)
    const program = script(t, unanswered + text, [socket, worker])
    assert.equal(await program.end(), status, program.errors)
    assert.ok(sockets.length > 0)
  })
}

test('a few threads open however many connections', async (t) => {
  const socket = path.join(process.cwd(), `silent-${process.pid}-many`)
  const sockets = []
  const server = net.createServer((socket) => sockets.push(socket)).listen(socket)
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const program = script(t, `
    import { connect } from 'anasazi'
    import { readdirSync, readFileSync } from 'node:fs'
    import { Worker } from 'node:worker_threads'
    const url = 'unix:' + process.argv[2]
    const settings = { 'connect.timeout_ms': 1500 }
    const isOpening = (id) => {
      try {
        return readFileSync('/proc/self/task/' + id + '/comm', 'utf8') === 'anasazi-open\\n'
      } catch {
        return false // It has ended just now.
      }
    }
    const threads = () => readdirSync('/proc/self/task').filter(isOpening).length
    const abort = new AbortController()
    const many = (signal) => Array.from({ length: 100 }, () =>
      connect(url, { settings, signal }).catch(({ name }) => name))
    const names = many(abort.signal)
    // A worker's are in the same threads, and end with it.
    const worker = new Worker(\`
      const { connect } = require('anasazi')
      for (let at = 0; at < 100; at++) connect('\${url}').catch(() => {})
      require('node:worker_threads').parentPort.postMessage('begun')
    \`, { eval: true })
    await new Promise((resolve) => worker.once('message', resolve))
    console.log('threads', threads() >= 2 && threads() <= 8)
    await worker.terminate()
    abort.abort()
    console.log(new Set(await Promise.all(names)))
    // What was abandoned takes no thread's time any more.
    const start = performance.now()
    const own = { cluster: 'many-' + process.pid }
    const connection = await connect('inproc:many', { settings: own })
    console.log('waited', performance.now() - start < 4000)
    await connection.close()
    // Whoever had to wait is told as well, and threads at what was abandoned are bounded, too.
    console.log(new Set(await Promise.all(many().slice(0, 20))), threads() <= 64)
    process.exit()
  `, [socket])
  assert.equal(await program.end(60_000), 0, program.errors)
  assert.deepEqual(program.printed, [
    'threads true', "Set(1) { 'AbortError' }", 'waited true', "Set(1) { 'TimeoutError' } true"
  ])
})
