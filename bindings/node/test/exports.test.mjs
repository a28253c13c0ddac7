// What is exported, as ES modules, CommonJS, the types and the README have it: all the same.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { test } from 'node:test'
import ts from 'typescript'
import * as anasazi from 'anasazi'
import { installed } from './place.mjs'

const file = (kind) => path.join(installed, 'lib', `index.d.${kind}`)
const program = ts.createProgram([file('ts'), file('mts')], {
  module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, lib: ['lib.esnext.d.ts'],
  types: ['node'], typeRoots: [path.join(process.cwd(), 'node_modules', '@types')]
})
const checker = program.getTypeChecker()
const readme = fs.readFileSync(process.env.ANASAZI_TEST_README, 'utf8')

/** Symbols that the types export. */
function declared (kind) {
  const symbol = checker.getSymbolAtLocation(program.getSourceFile(file(kind)))
  return checker.getExportsOfModule(symbol)
}

const isValue = (symbol) => (resolved(symbol).flags & ts.SymbolFlags.Value) !== 0
const namesOf = (symbols) => symbols.map(({ name }) => name).sort()

function resolved (symbol) {
  const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0
  return isAlias ? checker.getAliasedSymbol(symbol) : symbol
}

test('ES modules, CommonJS and the types export the same', () => {
  const required = createRequire(import.meta.url)('anasazi')
  const { default: all, ...named } = anasazi
  assert.equal(all, required)
  const names = Object.keys(required).sort()
  assert.ok(names.length > 20)
  // Newer versions of Node give all of a CommonJS module this name, too.
  delete named['module.exports']
  assert.deepEqual(Object.keys(named).sort(), names)
  for (const name of names) assert.equal(anasazi[name], required[name], name)
  assert.deepEqual(namesOf(declared('ts').filter(isValue)), names)
  assert.deepEqual(namesOf(declared('mts').filter(isValue)), [...names, 'default'].sort())
})

/** What a class or an interface of the types says itself. */
function membersOf (symbol) {
  const isOwn = ({ name, flags }) => {
    return !name.startsWith('__') && (flags & ts.SymbolFlags.TypeParameter) === 0
  }
  return [...symbol.members?.values() ?? []].filter(isOwn)
}

/** What objects of a class have that is meant for others, as it runs. */
function runningMembersOf (Class) {
  const names = Object.getOwnPropertyNames(Class.prototype)
  return names.filter((name) => !name.startsWith('_') && name !== 'constructor')
}

test('classes have the methods that the types say, and no others', () => {
  const classes = declared('ts').filter(({ flags }) => flags & ts.SymbolFlags.Class)
  assert.ok(classes.length > 20)
  for (const symbol of classes) {
    const isCallable = ({ flags }) => (flags & ts.SymbolFlags.Method) !== 0
    const told = membersOf(symbol).filter(isCallable)
      .map(({ name }) => name).filter((name) => !['on', 'once', 'off'].includes(name))
    const there = runningMembersOf(anasazi[symbol.name])
    const prototype = anasazi[symbol.name].prototype
    const methods = there.filter((name) => {
      return Object.getOwnPropertyDescriptor(prototype, name).value !== undefined
    })
    assert.deepEqual(methods.sort(), told.sort(), symbol.name)
    for (const name of there) {
      assert.ok(membersOf(symbol).some((member) => member.name === name), `${symbol.name}.${name}`)
    }
  }
})

/** Where something else is written of that which has many words, and needs none of its own. */
const elsewhere = new Set(['Stats'])

test('the README has a word for all that the types declare', () => {
  const code = [...readme.matchAll(/`[^`\n]+`|^```[^]*?^```$|^#+ .*$/gm)].map(([all]) => all)
  const words = new Set(code.join(' ').match(/\w+/g))
  const missing = []
  for (const symbol of declared('ts')) {
    const { name, flags } = symbol
    if (isValue(symbol) && !words.has(name)) missing.push(name)
    if ((flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) === 0) continue
    if (elsewhere.has(name)) continue
    for (const member of membersOf(symbol)) {
      if (!words.has(member.name)) missing.push(`${name}.${member.name}`)
    }
  }
  // Of services, priorities and causes the values, too.
  const text = fs.readFileSync(file('ts'), 'utf8')
  for (const [, value] of text.matchAll(/'([a-z]+)'/g)) if (!words.has(value)) missing.push(value)
  assert.deepEqual(missing, [])
})

test('each function has its heading, its errors and an example', () => {
  const sections = readme.split(/^(?=#{2,3} )/m).filter((section) => section.startsWith('### '))
  const called = sections.filter((section) => /^### .*\(/.test(section))
  assert.ok(called.length >= 14)
  for (const section of called) {
    const [heading] = section.split('\n')
    const isNoCall = /for await|ref\(|close\(/.test(heading)
    assert.ok(/^```(js|ts)$/m.test(section) || /\.ref\(/.test(heading), `${heading}: no example`)
    assert.ok(/Error`|throw/.test(section) || isNoCall, `${heading}: no errors`)
  }
})
