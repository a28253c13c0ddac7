// The examples of the README do what it says.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import ts from 'typescript'
import { Cluster, script } from './place.mjs'

const text = fs.readFileSync(process.env.ANASAZI_TEST_README, 'utf8')
// With what it prints, if the text says so.
const block =
  /^```(js|ts)\n([^]*?)^```\n(?:\n(?:(?:It|With a .*) prints:\n\n)?```\n([^]*?)^```\n)?/gm
const blocks = [...text.matchAll(block)]
const { default: anasazi } = await import('anasazi')

/** What the text says is there, before an example, and its end. */
function whole (code) {
  const cluster = JSON.stringify(`readme-${process.pid}`)
  const isWhole = /(const|using) (connection|engine) = |ConfigError|hasFeature/.test(code)
  const open = `connect('inproc:hello', { settings: { cluster: ${cluster} } })`
  const own = code.replace("connect('inproc:hello')", open)
  if (isWhole) return own
  const imports = own.match(/^import .*$/gm) ?? []
  return `
    import { connect } from 'anasazi'
    ${imports.join('\n')}
    const connection = await ${open}
    const room = await connection.join('room')
    ${own.replace(/^import .*$/gm, '')}
    await connection.close()`
}

/** What a class has that is meant for others. */
function membersOf (Class) {
  const names = Object.getOwnPropertyNames(Class.prototype)
  return names.filter((name) => !name.startsWith('_') && name !== 'constructor')
}

test('there are a heading and an example, of everything that is exported', () => {
  assert.ok(blocks.length >= 14, `${blocks.length}`)
  const headings = text.match(/^#+ .*$/gm).join('\n')
  const code = blocks.map(([, , code]) => code).join('\n')
  const isWord = (word, where) => new RegExp(`\\b${word}\\b`).test(where)
  const { Connection, Engine, Group, Peer, Address, Member, ...others } = anasazi
  for (const [name, value] of Object.entries(others)) {
    if (value?.prototype instanceof Error) {
      const isListed = text.includes(`| \`${name}\` | \`ANZ_`) || name === 'AnasaziError'
      assert.ok(isListed, `${name} is in no row of the errors`)
    } else {
      assert.ok(isWord(name, headings), `${name} is in no heading`)
    }
  }
  const known = { connection: [Connection], group: [Group, Address] }
  for (const [what, classes] of Object.entries(known)) {
    for (const name of classes.flatMap(membersOf)) {
      assert.ok(isWord(name, text), `${what}.${name} is nowhere`)
      if (typeof classes[0].prototype.__lookupGetter__(name) === 'function') continue
      if (['ref', 'unref'].includes(name)) continue
      assert.ok(isWord(`\\.${name}`, code), `${what}.${name}() is in no example`)
    }
  }
  for (const name of membersOf(Engine)) assert.ok(text.includes(`engine.${name}(`), name)
})

/** Begun with a daemon, which is gone once it has said something. */
async function withoutDaemon (t, source) {
  const cluster = await Cluster.start(t)
  const daemon = await cluster.daemon('away')
  const program = script(t, source, [], { ANASAZI_URL: cluster.url('away') })
  await program.expect('message')
  daemon.child.kill('SIGKILL')
  return program
}

for (const [, kind, code, expected] of blocks) {
  const heading = text.slice(0, text.indexOf(code)).match(/^#+ (.*)$/gm).at(-1)
  test(heading, async (t) => {
    // `await using` is too new for Node 20.
    const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
    let source = whole(code)
    if (kind === 'ts') source = ts.transpileModule(source, { compilerOptions }).outputText
    const program = source.includes("'suspended'")
      ? await withoutDaemon(t, source)
      : script(t, source)
    assert.equal(await program.end(), 0, program.errors)
    assert.equal(program.printed.join('\n'), (expected ?? '').trimEnd())
  })
}
