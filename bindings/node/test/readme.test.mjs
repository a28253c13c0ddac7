// The examples of the README do what it says.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import ts from 'typescript'
import { script } from './place.mjs'

const text = fs.readFileSync(process.env.ANASAZI_TEST_README, 'utf8')
const block = /^```(js|ts)\n([^]*?)^```\n(?:\n(?:It prints:\n\n)?```\n([^]*?)^```\n)?/gm
const blocks = [...text.matchAll(block)]
const names = new Set(Object.keys(await import('anasazi')))

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

test('there are examples, of everything that is exported', () => {
  assert.ok(blocks.length >= 14, `${blocks.length}`)
  for (const name of ['Connection', 'Address', 'Group', 'Peer', 'Member']) names.delete(name)
  for (const name of names) assert.ok(text.includes(name), `${name} is in no line`)
})

for (const [, kind, code, expected] of blocks) {
  const heading = text.slice(0, text.indexOf(code)).match(/^#+ (.*)$/gm).at(-1)
  test(heading, async (t) => {
    // `await using` is too new for Node 20.
    const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
    let source = whole(code)
    if (kind === 'ts') source = ts.transpileModule(source, { compilerOptions }).outputText
    const program = script(t, source)
    assert.equal(await program.end(), 0, program.errors)
    assert.equal(program.printed.join('\n'), (expected ?? '').trimEnd())
  })
}
