//! How long the parts take that every message goes through: `make bench-micro`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anasazi_micro::ordering::Cluster;
use anasazi_micro::ring::Ring;
use anasazi_micro::sealing::SealedPair;
use anasazi_protocol::CoreConfig;
use anasazi_protocol::fuzz::{self, Reread};
use anasazi_seal::Mode;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LENS: [usize; 3] = [64, 1_024, 65_536];
/// As much as fits into one datagram on Ethernet, about.
const MESSAGE_LEN: usize = 1_300;
const NODES: usize = 4;
/// Content of a datagram that is sealed.
const SEALED_LEN: usize = 1_400;
/// Datagrams that are opened in one go.
const BATCH: usize = 64;

/// A message goes into a client's ring, and is copied out of it by the engine.
fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    let mut ring = Ring::new().expect("a ring");
    for len in LENS {
        let payload = vec![0x5A; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| ring.pass(black_box(&payload)).len());
        });
    }
    group.finish();
}

/// Whole datagrams as they are on the network, with their checksums.
fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let mut cluster = Cluster::new(NODES);
    let CoreConfig { cluster: name, domain, .. } = CoreConfig::default();
    for kind in ["data", "token"] {
        let datagram = cluster.overhear(kind, MESSAGE_LEN);
        let mut reread = Reread::of(&datagram, name, domain).expect("a datagram");
        assert_eq!(reread.write(), datagram);
        group.throughput(Throughput::Bytes(datagram.len() as u64));
        group.bench_function(BenchmarkId::new("encode", kind), |bencher| {
            bencher.iter(|| reread.write());
        });
        group.bench_function(BenchmarkId::new("decode", kind), |bencher| {
            bencher.iter(|| fuzz::datagram(black_box(&datagram), name, domain));
        });
    }
    group.finish();
}

/// Datagrams sealed by one engine and opened by another one.
fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for mode in [Mode::Aead, Mode::Integrity] {
        let mut pair = SealedPair::new(mode);
        let content = Bytes::from(vec![0x5A; SEALED_LEN]);
        group.throughput(Throughput::Bytes(SEALED_LEN as u64));
        group.bench_function(BenchmarkId::new("seal", mode.name()), |bencher| {
            bencher.iter(|| pair.seal(black_box(&content)));
        });
        group.bench_function(BenchmarkId::new("open", mode.name()), |bencher| {
            bencher.iter_custom(|count| {
                let mut took = Duration::ZERO;
                for done in (0..count).step_by(BATCH) {
                    let size = BATCH.min((count - done) as usize);
                    let mut sealed = pair.seal_some(&content, size);
                    let begin = Instant::now();
                    assert_eq!(pair.open(&mut sealed), size);
                    took += begin.elapsed();
                }
                took
            });
        });
    }
    group.finish();
}

/// One message of each of four nodes, until it is delivered at all of them.
fn ordering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ordering");
    let mut cluster = Cluster::new(NODES);
    for len in LENS {
        group.throughput(Throughput::Bytes((NODES * len) as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter_custom(|count| {
                let begin = Instant::now();
                cluster.order(count, len, false);
                begin.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ring, codec, seal, ordering);
criterion_main!(benches);
