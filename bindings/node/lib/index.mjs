import anasazi from './index.js'

export const {
  connect,
  hasFeature,
  version,
  libraryVersion,
  Connection,
  Engine,
  Address,
  Group,
  Peer,
  Member,
  AnasaziError,
  InvalidArgumentError,
  MessageSizeError,
  ConfigError,
  WouldBlockError,
  BusyError,
  ExistsError,
  AccessError,
  NotSupportedError,
  TimeoutError,
  ConnectionRefusedError,
  ClosedError,
  NotMemberError,
  SlowReceiverError,
  ViewChangedError,
  MessageLostError
} = anasazi

export default anasazi
