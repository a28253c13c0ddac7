// Memory stays flat over a million messages.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { script } from './place.mjs'

const text = `
  import { connect } from 'anasazi'
  import { once } from 'node:events'
  const [LEN, COUNT] = process.argv.slice(2).map(Number)
  const connection = await connect('inproc:leak', { settings: { cluster: 'leak-' + process.pid } })
  const group = await connection.join('room')
  const message = Buffer.alloc(LEN)
  async function send () {
    for (let sent = 0; sent < COUNT;) {
      // Some with a promise, most without.
      if (sent % 64 === 0) { await group.mcast(message); sent++ }
      else if (group.tryMcast(message)) sent++
      else await once(group, 'drain')
    }
  }
  function used () {
    gc()
    return process.memoryUsage().rss
  }
  const sending = send()
  let got = 0, early
  for await (const event of group) {
    if (event.type !== 'message') continue
    got++
    if (got === Math.floor(COUNT / 4)) early = used()
    if (got === COUNT) break
  }
  await sending
  const late = used()
  console.log(JSON.stringify({ got, early, late }))
  await connection.close()
`

// Less than 8 bytes for each of the small ones, and 2 KB for each of the large.
for (const [len, count, most] of [[64, 1_000_000, 6e6], [100_000, 20_000, 32e6]]) {
  test(`${count} messages of ${len} bytes`, async (t) => {
    const program = script(t, text, [len, count].map(String))
    assert.equal(await program.end(), 0, program.errors)
    const { got, early, late } = JSON.parse(program.printed[0])
    assert.equal(got, count)
    assert.ok(late - early < most, `from ${early} to ${late} bytes`)
    t.diagnostic(`from ${(early / 1e6).toFixed()} to ${(late / 1e6).toFixed()} MB`)
  })
}
