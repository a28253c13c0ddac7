// Where tests run: engines that no other test finds, daemons, programs; all of it ends with the
// test. The driver (run.py) gives RELEASE, with the daemon, and PLACE, with what it compiled.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { connect } from 'anasazi'

export const release = process.env.ANASAZI_TEST_RELEASE
export const compiled = process.env.ANASAZI_TEST_COMPILED
export const installed = path.join(process.cwd(), 'node_modules', 'anasazi')
export const PATIENCE_MS = 20_000

const cluster = `test-${process.pid}`

/** A connection to an engine in this process, by a name of its own. */
export async function open (t, name, options = {}) {
  const settings = { cluster, ...options.settings }
  const connection = await connect(`inproc:${cluster}-${name}`, { ...options, settings })
  t.after(() => connection.close())
  return connection
}

/** A connection and a group that it has joined, with a reader of it. */
export async function member (t, name, { join, ...options } = {}) {
  const connection = await open(t, name, options)
  const group = await connection.join('room', join)
  return { connection, group }
}

/** The promise, or an error once patience is over. */
export function soon (promise, what = 'this', patienceMs = PATIENCE_MS) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes too long`)), patienceMs)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** The next event of this type. */
export async function next (reader, type) {
  for (;;) {
    const { value, done } = await soon(reader.next(), `an event of type ${type}`)
    assert.equal(done, false, `no ${type} before the end`)
    if (value.type === type) return value
  }
}

export async function until (isSo, what) {
  const end = Date.now() + PATIENCE_MS
  while (!isSo()) {
    assert.ok(Date.now() < end, `${what} takes too long`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A program, whose lines are read one by one. */
export class Program {
  printed = []
  constructor (t, file, args, env = {}) {
    this.child = spawn(file, args, { env: { ...process.env, ...env }, stdio: 'pipe' })
    t.after(() => this.child.kill('SIGKILL'))
    this.errors = ''
    this.child.stderr.on('data', (data) => { this.errors += data })
    this.child.stdin.on('error', () => {})
    this.ended = once(this.child, 'close')
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.printed.push(line)
    })
    this.seen = 0
  }

  type (text) {
    this.child.stdin.write(text)
  }

  /** A line with this in it, after the last one. */
  async expect (text) {
    let found
    const isThere = () => {
      found = this.printed.findIndex((line, at) => at >= this.seen && line.includes(text))
      return found >= 0 || this.child.exitCode !== null
    }
    await until(isThere, `${JSON.stringify(text)} in ${this.printed.join('\n')}${this.errors}`)
    assert.ok(found >= 0, `no ${text} in ${this.printed.join('\n')}${this.errors}`)
    this.seen = found + 1
    return this.printed[found]
  }

  /** How it ended: its status, or the signal. */
  async end (patienceMs) {
    const [status, signal] = await soon(this.ended, `${this.child.spawnargs.join(' ')}, ` +
      `which printed ${this.printed.join('\n')}${this.errors},`, patienceMs)
    return signal ?? status
  }
}

let files = 0

/** A file with this program, where the package is installed. */
export function file (t, text) {
  const name = path.join(process.cwd(), `script-${process.pid}-${++files}.mjs`)
  fs.writeFileSync(name, text)
  t.after(() => fs.rmSync(name))
  return name
}

/** A program in JavaScript, given as text. */
export function script (t, text, args = [], env) {
  return new Program(t, process.execPath, ['--expose-gc', file(t, text), ...args], env)
}

async function freePort () {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

/** Daemons of a cluster of their own. */
export class Cluster {
  static async start (t) {
    const it = new Cluster()
    it.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'anasazi-node-'))
    it.port = await freePort()
    it.t = t
    t.after(() => fs.rmSync(it.directory, { recursive: true, force: true }))
    return it
  }

  get settings () {
    return [`cluster=test-${this.port}`, `transport.multicast=239.192.77.9:${this.port}`]
  }

  url (name) {
    return `shm:${path.join(this.directory, `${name}.sock`)}`
  }

  /** It serves when this is done. */
  async daemon (name, further = []) {
    const socket = path.join(this.directory, `${name}.sock`)
    const settings = [...this.settings, `client.listen=${socket}`, 'log.level=error', ...further]
    const args = settings.flatMap((setting) => ['--set', setting])
    const daemon = new Program(this.t, path.join(release, 'anasazid'), args)
    const serves = async () => {
      for (;;) {
        try {
          return await (await connect(`shm:${socket}`)).close()
        } catch (error) {
          if (daemon.child.exitCode !== null) throw new Error(daemon.errors)
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
    }
    await soon(serves(), 'the daemon')
    return daemon
  }
}
