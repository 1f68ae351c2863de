//! Chains against their convolutions one after the other, bit for bit: random runs, and those of networks.
#![cfg(feature = "operators")]

mod common;

use common::{
    Rng, Seed,
    chain_cases::{self, chain_of},
    mem::Place,
    quickcheck,
};
use kolibri::{ConvGeometry, Padding};

#[test]
fn a_chain_is_its_convolutions() {
    quickcheck(200, |seed: Seed| chain_cases::chain(&mut Rng::new(seed.0), Place::Heap));
}

/// Expansion where there is one, filter, projection.
fn block(cin: usize, c: usize, cout: usize, [kernel, stride]: [usize; 2]) -> Vec<ConvGeometry> {
    let filter = ConvGeometry::new(c, c, [kernel; 2]).stride([stride; 2]).padding(Padding::Same).groups(c);
    let expand = (cin != c).then_some(ConvGeometry::new(cin, c, [1, 1]));
    expand.into_iter().chain([filter, ConvGeometry::new(c, cout, [1, 1])]).collect()
}

/// Blocks of the MobileNets, and sizes around edges; fewer pixels under emulation.
#[test]
fn blocks_of_networks_are_their_convolutions() {
    let slow = common::runner().is_some();
    let blocks = [
        (block(32, 32, 16, [3, 1]), [1, 112, 112], [1, 9, 112]),
        (block(16, 96, 24, [3, 2]), [1, 56, 112], [1, 6, 56]),
        (block(24, 144, 24, [3, 1]), [1, 28, 56], [1, 6, 28]),
        (block(64, 384, 64, [3, 1]), [2, 14, 14], [2, 4, 7]),
        (block(96, 576, 160, [3, 2]), [1, 14, 14], [1, 4, 7]),
        (block(160, 960, 320, [3, 1]), [2, 7, 7], [1, 3, 4]),
        (block(512, 512, 512, [3, 1]), [1, 14, 14], [1, 4, 4]), // pixels that alias in the cache
        (block(512, 512, 1024, [3, 2]), [1, 14, 14], [1, 4, 4]),
        (block(16, 512, 24, [3, 1]), [1, 9, 9], [1, 4, 4]),
        (block(40, 240, 40, [5, 1]), [1, 28, 28], [1, 6, 9]),
        (block(17, 367, 23, [5, 2]), [2, 9, 9], [1, 5, 5]),
        (block(1, 1, 1, [3, 1]), [2, 1, 1], [2, 1, 1]),
        (block(3, 17, 58, [7, 1]), [2, 1, 1], [2, 1, 1]),
        (block(23, 58, 1, [7, 2]), [2, 2, 3], [2, 2, 3]),
    ];
    for (i, (geometries, image, small)) in blocks.iter().enumerate() {
        let rng = &mut Rng::new(i as u64);
        let image = if slow { *small } else { *image };
        chain_of::<f32>(rng, Place::Heap, geometries, image);
        chain_of::<u8>(rng, Place::Heap, geometries, image);
        chain_of::<i8>(rng, Place::Heap, geometries, image);
    }
}
