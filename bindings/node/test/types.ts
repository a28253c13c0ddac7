// Compiled, not run: what users write has the types that they expect.
import anasazi, {
  connect, Engine, AnasaziError, ViewChangedError, libraryVersion,
  type Connection, type Group, type GroupEvent, type Member
} from 'anasazi'

async function all (): Promise<void> {
  await using connection: Connection = await connect('inproc:types', {
    settings: { cluster: 'types', 'connect.timeout_ms': 100 }, signal: AbortSignal.timeout(1000)
  })
  await using group: Group = await connection.join('room', { unreadEventsMax: 10 })
  const options = { service: 'safe', priority: 'high', sameView: true } as const
  const place: number = await group.mcast('text', options)
  await group.mcast(Buffer.from('x'), { signal: new AbortController().signal, self: false })
  const hadRoom: boolean = group.tryMcast(new Float64Array(2))
  await connection.mcast([group], new ArrayBuffer(1))
  for await (const event of group) see(event, connection)
  for await (const events of group.batches()) events.forEach((event) => see(event, connection))
  for await (const event of connection) if (event.type === 'message') event.data.toString()
  const self: Member | undefined = connection.self
  if (self !== undefined) await connection.peer(self).mcast('alone')
  connection.on('suspended', (reason) => reason.length).once('close', (error) => error?.code)
  await group.writable({ signal: AbortSignal.timeout(1000) })
  await (await anasazi.connect(new URL('inproc:types'), { unreadEventsMax: 10 })).close()
  group.once('drain', () => {}).on('left', (error) => error?.retryable)
  const figures = connection.stats().lagNs + place
  console.log(hadRoom, figures, libraryVersion, connection.ref().unref().closed)
  const engine = new Engine({ drive: 'thread', settings: { 'node.id': 7 } })
  engine.on('error', (error) => error.code).once('close', (error) => error?.code)
  await (await engine.connect({ settings: {} })).close()
}

function see (event: GroupEvent, connection: Connection): string {
  switch (event.type) {
    case 'message': return `${connection.memberName(event.sender)} ${event.data} ${event.seq}`
    case 'view': return event.members.map((member) => member.node).join() + event.cause
    case 'transitional': return event.together.length + event.reason
    case 'gap': return String(event.skipped)
    case 'suspended': return event.reason
    case 'resumed': return event.self.session
  }
}

async function refused (group: Group): Promise<boolean> {
  // @ts-expect-error a number is no message
  await group.mcast(5)
  // @ts-expect-error there is no such service
  await group.mcast('x', { service: 'best' })
  // @ts-expect-error members are not made by hand
  const member = new (group.view!.members[0].constructor as typeof Member)()
  try {
    await group.mcast('x')
  } catch (error) {
    if (error instanceof ViewChangedError) return error.retryable
    if (error instanceof AnasaziError) return error.errno < 0 && error.code === 'ANZ_EAGAIN'
  }
  return Boolean(member)
}

void all().then(() => refused)
