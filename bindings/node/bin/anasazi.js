#!/usr/bin/env node
'use strict'
// npx anasazi [chat ROOM [--name N] [--url U] | bench]

const { parseArgs } = require('node:util')

const usage = `usage: anasazi                            versions
       anasazi chat ROOM [--name NAME] [--url URL]
       anasazi bench [--seconds N] [--json] [--reference PROGRAM]`

const options = {
  name: { type: 'string' },
  url: { type: 'string' },
  seconds: { type: 'string' },
  json: { type: 'boolean' },
  reference: { type: 'string' },
  help: { type: 'boolean', short: 'h' }
}

function parsed () {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    console.error(`anasazi: ${error.message}\n${usage}`)
    process.exit(2)
  }
}

async function main () {
  const { values, positionals: [command, ...rest] } = parsed()
  if (values.help) return console.log(usage)
  const anasazi = require('../lib/index.js')
  if (command === undefined) {
    console.log(`anasazi ${anasazi.version}, library ${anasazi.libraryVersion}, ` +
      `Node ${process.versions.node}`)
  } else if (command === 'chat' && rest.length === 1) {
    await require('./chat.js').chat(rest[0], values)
  } else if (command === 'bench' && rest.length === 0) {
    await require('./bench.js').bench(values)
  } else {
    console.error(usage)
    process.exitCode = 2
  }
}

// Who read it has gone, as `head` does: there is nothing more to say.
process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1))
main().catch((error) => {
  console.error(`anasazi: ${error.code ? `${error.code}: ` : ''}${error.message}`)
  process.exitCode = 1
})
