// The library beside the addon: shared with others in the process, and only one that fits.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { compiled, installed, Program, script } from './place.mjs'

test('C and JavaScript in one process share an engine', async (t) => {
  const program = script(t, `
    import { connect } from 'anasazi'
    import fs from 'node:fs'
    const cluster = 'shared-' + process.pid
    const connection = await connect('inproc:shared', { settings: { cluster } })
    const group = await connection.join('room')
    Object.assign(process.env, { MEMBER_URL: 'inproc:shared', MEMBER_CLUSTER: cluster })
    // It is no addon, which Node says once it is loaded.
    try {
      process.dlopen({ exports: {} }, process.argv[2])
    } catch (error) {
      console.log(error.message)
    }
    for await (const event of group) {
      if (event.type === 'message') {
        console.log(event.data.toString(), event.sender === connection.self)
        if (event.sender !== connection.self) group.mcast('bye')
      }
      if (event.type !== 'view') continue
      const nodes = new Set(event.members.map(({ node }) => node))
      console.log(event.members.length, nodes.size)
      if (event.left.length > 0) break
    }
    const maps = fs.readFileSync('/proc/self/maps', 'utf8').match(/\\/.*libanasazi\\.so.*/g)
    console.log(new Set(maps).size)
    await connection.close()
  `, [path.join(compiled, 'libmember.so')])
  assert.equal(await program.end(), 0, program.errors)
  assert.equal(program.errors, '')
  // Both are sessions of one node.
  assert.deepEqual(program.printed.slice(1),
    ['1 1', '2 1', 'hello from C false', 'bye true', '1 1', '1'])
})

/** A copy of the package, to be spoilt. */
function copy (t) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'anasazi-node-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  fs.cpSync(installed, directory, { recursive: true })
  return directory
}

async function refusal (t, directory) {
  const text = `
    await import('file://' + process.argv[2] + '/lib/index.js').catch((error) => {
      console.log(error.code, error.message)
    })`
  const program = script(t, text, [directory])
  assert.equal(await program.end(), 0, program.errors)
  return program.printed.join('\n')
}

test('a library of another major version is refused', async (t) => {
  const directory = copy(t)
  const library = path.join(directory, 'native', 'libanasazi.so.1')
  fs.copyFileSync(path.join(compiled, 'libanasazi-2.so'), library)
  assert.match(await refusal(t, directory), /ANZ_EVERSION anasazi: .*2\.0\.0/)
})

test('a library that is not there', async (t) => {
  const directory = copy(t)
  fs.rmSync(path.join(directory, 'native', 'libanasazi.so.1'))
  assert.match(await refusal(t, directory), /libanasazi\.so\.1: cannot open.*install/)
})

test('the addon carries its library, and stays loaded', () => {
  const native = path.join(installed, 'native')
  const dynamic = (name) => {
    return execFileSync('readelf', ['-d', path.join(native, name)], { encoding: 'utf8' })
  }
  assert.match(dynamic('libanasazi.so.1'), /SONAME.*\[libanasazi\.so\.1\]/)
  assert.match(dynamic('anasazi.node'), /NEEDED.*\[libanasazi\.so\.1\]/)
  assert.match(dynamic('anasazi.node'), /RUNPATH.*\[\$ORIGIN\]/)
  assert.match(dynamic('anasazi.node'), /NODELETE/)
})

test('the command', async (t) => {
  const command = path.join(process.cwd(), 'node_modules', '.bin', 'anasazi')
  const anasazi = (args) => new Program(t, command, args)
  const plain = anasazi([])
  assert.equal(await plain.end(), 0)
  assert.match(plain.printed[0], /^anasazi \d+\.\d+\.\d+, library 1\.\d+\.\d+ \(.*\), Node 2\d/)
  for (const args of [['nonsense'], ['chat'], ['--nonsense'], ['chat', 'a', 'b']]) {
    const wrong = anasazi(args)
    assert.equal(await wrong.end(), 2, `${args}`)
    assert.match(wrong.errors, /usage/)
  }
  const refused = anasazi(['chat', 'room', '--url', 'shm:/nowhere.sock'])
  assert.equal(await refused.end(), 1)
  assert.match(refused.errors, /^anasazi: ANZ_ECONNREFUSED: .*nowhere/)
  // As the README has it; nothing is fetched for it.
  const talks = new Program(t, 'npx', ['--no', 'anasazi', 'chat', 'room', '--url', 'inproc:chat'])
  talks.child.stdin.end('a\x1b[2Jb\tc\n')
  await talks.expect('] a\\x1b[2Jb\tc')
  assert.equal(await talks.end(), 0, talks.errors)
  const unheard = anasazi(['chat', 'room', '--url', 'inproc:unheard'])
  await unheard.expect('1 here')
  unheard.child.stdout.destroy()
  unheard.type('a\nb\nc\n')
  assert.equal(await unheard.end(), 0, unheard.errors)
  assert.equal(unheard.errors, '')
  const tooLong = anasazi(['chat', 'x'.repeat(256)])
  assert.equal(await tooLong.end(), 1)
  assert.match(tooLong.errors, /^anasazi: ANZ_EINVAL/)
})

test('two copies of the package share an addon', async (t) => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'anasazi-node-'))
  t.after(() => fs.rmSync(place, { recursive: true }))
  fs.cpSync(installed, place, { recursive: true, dereference: true })
  const name = path.join('native', 'anasazi.node')
  fs.rmSync(path.join(place, name))
  // As package managers do with files that are equal.
  fs.linkSync(path.join(fs.realpathSync(installed), name), path.join(place, name))
  const program = script(t, `
    import { createRequire } from 'node:module'
    const require = createRequire(import.meta.url)
    const first = require('anasazi')
    for (const key of Object.keys(require.cache)) delete require.cache[key]
    const copies = [first, require(process.argv[2]), require('anasazi')]
    const settings = { cluster: 'copies-' + process.pid }
    for (const { connect, Engine } of [...copies, ...copies.reverse()]) {
      const connection = await connect('inproc:copies', { settings })
      const group = await connection.join('room')
      console.log(await group.mcast('x'))
      await connection.close()
      await new Engine({ drive: 'thread', settings }).close()
    }
  `, [place])
  assert.equal(await program.end(), 0, program.errors)
  assert.deepEqual(program.printed, ['1', '1', '1', '1', '1', '1'])
})
