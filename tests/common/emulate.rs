//! AVX-VNNI and AMX on a CPU without them: a handler of SIGILL decodes the instruction that the CPU refused, does what
//! it says, and goes on behind it.
//!
//! Of AVX-VNNI those are VPDPBUSD, and VPDPWSSD, which the compiler makes of a multiplication and an addition; of AMX,
//! those that configure, load, zero, store and release tiles, and the dot products of bytes. Whatever else is illegal,
//! or what these themselves refuse, is reported and ends the process.
//!
//! A CPU that has them does not trap. Where it has AMX, ask the system's permission first: without, only some of these
//! instructions trap.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::{arch::x86_64::__cpuid_count, cell::RefCell, io::Write, ptr, sync::OnceLock};

/// From now on, for all threads.
pub fn install() {
    REGISTER_PARTS.get_or_init(|| {
        // SAFETY: all zeros are an action: no flags, and no signals blocked.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_illegal as Handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler has the signature that the flag asks for, and does what a handler may.
        assert_eq!(unsafe { libc::sigaction(libc::SIGILL, &action, ptr::null_mut()) }, 0);
        #[allow(unused_unsafe)] // it was unsafe in Rust 1.89
        // SAFETY: every CPU with AVX has this.
        let offset = |component| unsafe { __cpuid_count(0xd, component) }.ebx as usize;
        [(1, 160, 16), (2, offset(2), 16), (6, offset(6), 32)]
    });
}

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::ucontext_t);

extern "C" fn on_illegal(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: what the thread was doing, which is the handler's to read and change.
    let context = unsafe { &mut (*context).uc_mcontext };
    let Err(reason) = step(context) else {
        // To trap again would take longer than to look.
        while step(context).is_ok() {}
        return;
    };
    let mut text = [0u8; 100];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "illegal instruction at {:#x}: {reason}", context.gregs[libc::REG_RIP as usize]);
    let len = 100 - rest.len();
    // SAFETY: both functions may be called in a signal handler; the text is this function's own.
    unsafe {
        libc::write(2, text.as_ptr().cast(), len);
        libc::signal(signal, libc::SIG_DFL); // then the instruction traps again, for good
    }
}

/// Why an instruction cannot be executed.
type Outcome = Result<(), &'static str>;
const UNKNOWN: Outcome = Err("nothing that is emulated");

/// Executes one instruction, if all is well.
fn step(context: &mut libc::mcontext_t) -> Outcome {
    let Some(insn) = decode(&context.gregs) else { return UNKNOWN };
    execute(&insn, &Vectors(context.fpregs.cast()))?;
    context.gregs[libc::REG_RIP as usize] += insn.len as i64;
    Ok(())
}

/// An instruction with a VEX prefix, of the opcodes behind 0F 38.
struct Insn {
    prefix: Prefix,
    wide: bool,
    opcode: u8,
    reg: usize,
    vvvv: usize,
    rm: Operand,
    len: usize,
}

/// The legacy prefix that the VEX prefix contains.
#[derive(Clone, Copy)]
enum Prefix {
    Np,
    P66,
    Pf3,
    Pf2,
}

#[derive(Clone, Copy)]
enum Operand {
    Register(usize),
    /// `stride` is the scaled index. The address is `start + stride`; a tile's rows are `stride` apart from `start` on.
    Memory {
        start: usize,
        stride: usize,
        has_sib: bool,
    },
}

type Gregs = [libc::greg_t; 23];

/// What `rip` points to.
fn decode(gregs: &Gregs) -> Option<Insn> {
    let rip = gregs[libc::REG_RIP as usize] as usize;
    let mut code = Code(rip);
    if code.byte() != 0xc4 {
        return None;
    }
    let (rxb_map, w_vvvv_l_pp) = (code.byte(), code.byte());
    if rxb_map & 0x1f != 2 || w_vvvv_l_pp & 0x80 != 0 {
        return None;
    }
    let (opcode, modrm) = (code.byte(), code.byte());
    // Register numbers have their fourth bit in the prefix, inverted.
    let number = |bits: u8, prefix_bit: u8| usize::from(bits & 7 | (!rxb_map >> prefix_bit & 1) << 3);
    let rm =
        if modrm >> 6 == 3 { Operand::Register(number(modrm, 5)) } else { memory(gregs, &mut code, modrm, number) };
    Some(Insn {
        prefix: [Prefix::Np, Prefix::P66, Prefix::Pf3, Prefix::Pf2][usize::from(w_vvvv_l_pp & 3)],
        wide: w_vvvv_l_pp & 4 != 0,
        opcode,
        reg: number(modrm >> 3, 7),
        vvvv: usize::from(!w_vvvv_l_pp >> 3 & 15),
        rm,
        len: code.0 - rip,
    })
}

fn memory(gregs: &Gregs, code: &mut Code, modrm: u8, number: impl Fn(u8, u8) -> usize) -> Operand {
    use libc::*;
    const GREGS: [c_int; 16] = [
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
        REG_R12, REG_R13, REG_R14, REG_R15,
    ];
    let register = |number: usize| gregs[GREGS[number] as usize] as usize;
    let has_sib = modrm & 7 == 4;
    let (base, index, scale) = if has_sib {
        let sib = code.byte();
        (sib, number(sib >> 3, 6), sib >> 6)
    } else {
        (modrm, 4, 0)
    };
    let stride = if index == 4 { 0 } else { register(index) << scale };
    let start = match modrm >> 6 {
        0 if base & 7 == 5 => {
            let displacement = code.i32();
            displacement.wrapping_add(if has_sib { 0 } else { code.0 })
        }
        0 => register(number(base, 5)),
        1 => register(number(base, 5)).wrapping_add(code.byte() as i8 as usize),
        _ => register(number(base, 5)).wrapping_add(code.i32()),
    };
    Operand::Memory { start, stride, has_sib }
}

/// Where the next byte of the instruction is.
struct Code(usize);

impl Code {
    fn byte(&mut self) -> u8 {
        // SAFETY: the thread was about to execute this.
        let byte = unsafe { ptr::with_exposed_provenance::<u8>(self.0).read() };
        self.0 += 1;
        byte
    }

    /// Its sign extended.
    fn i32(&mut self) -> usize {
        i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]) as usize
    }
}

fn execute(insn: &Insn, vectors: &Vectors) -> Outcome {
    use {Operand::*, Prefix::*};
    let Insn { prefix, wide, opcode, reg, vvvv, rm, .. } = *insn;
    match (opcode, prefix) {
        (0x50, P66) => return vectors.dot(wide, reg, vvvv, rm, |sum, a, b| dot_bytes(sum, a, b, [false, true])),
        (0x52, P66) => return vectors.dot(wide, reg, vvvv, rm, dot_words),
        _ => {}
    }
    TILES.with_borrow_mut(|tiles| match (opcode, prefix, wide, vvvv, rm) {
        (0x49, Np, false, 0, Memory { start, stride, .. }) if reg == 0 => tiles.configure(start.wrapping_add(stride)),
        (0x49, Np, false, 0, Register(0)) if reg == 0 => tiles.release(),
        (0x49, Pf2, false, 0, Register(0)) => tiles.zero(reg),
        (0x4b, Pf2 | P66, false, 0, Memory { start, stride, has_sib: true }) => tiles.copy(reg, start, stride, false),
        (0x4b, Pf3, false, 0, Memory { start, stride, has_sib: true }) => tiles.copy(reg, start, stride, true),
        (0x5e, _, false, _, Register(rm)) => {
            tiles.dot(reg, rm, vvvv, [matches!(prefix, Pf3 | Pf2), matches!(prefix, P66 | Pf2)])
        }
        _ => UNKNOWN,
    })
}

type Dword = [u8; 4];

/// To `sum`, four products of a byte of `a` and one of `b`, each signed or not, are added, wrapping.
fn dot_bytes(sum: Dword, a: Dword, b: Dword, signed: [bool; 2]) -> Dword {
    let value = |byte: u8, signed| if signed { i32::from(byte as i8) } else { i32::from(byte) };
    let products = (0..4).map(|i| value(a[i], signed[0]) * value(b[i], signed[1]));
    products.fold(i32::from_le_bytes(sum), i32::wrapping_add).to_le_bytes()
}

/// The same with two products of signed words.
fn dot_words(sum: Dword, a: Dword, b: Dword) -> Dword {
    let value = |from: Dword, i| i32::from(i16::from_le_bytes([from[i], from[i + 1]]));
    let products = [0, 2].map(|i| value(a, i) * value(b, i));
    products.into_iter().fold(i32::from_le_bytes(sum), i32::wrapping_add).to_le_bytes()
}

/// The parts of a vector register, from its lowest bytes on: which component of XSAVE they are in, where that is, and
/// how many bytes of each register.
static REGISTER_PARTS: OnceLock<[(u32, usize, usize); 3]> = OnceLock::new();

/// Vector registers as the kernel saved them: as FXSAVE does, with a note of the kernel's in its last bytes, and behind
/// that the header of XSAVE and its components.
struct Vectors(*mut u8);

impl Vectors {
    /// Where the parts of a register are, their first byte in the register, and their bytes. Those that are left out
    /// are not in use: they are zero in all registers.
    fn parts(&self, register: usize) -> impl Iterator<Item = (*mut u8, usize, usize)> {
        // SAFETY: the header, which is there, see `get`.
        let in_use = unsafe { self.0.add(512).cast::<u64>().read() };
        let mut end = 0;
        REGISTER_PARTS.get().into_iter().flatten().filter_map(move |&(component, offset, len)| {
            end += len;
            (in_use >> component & 1 == 1).then(|| (self.0.wrapping_add(offset + register * len), end - len, len))
        })
    }

    fn get(&self, register: usize) -> Result<[Dword; 16], &'static str> {
        const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
        // SAFETY: FXSAVE stores this much.
        if self.0.is_null() || unsafe { self.0.add(464).cast::<u32>().read() } != FP_XSTATE_MAGIC1 {
            return Err("the system does not show the vector registers");
        }
        let mut value = [[0; 4]; 16];
        for (part, at, len) in self.parts(register) {
            // SAFETY: both have that part.
            unsafe { value.as_mut_ptr().cast::<u8>().add(at).copy_from_nonoverlapping(part, len) };
        }
        Ok(value)
    }

    /// Of a part that is not in use, nothing but zero is computed here: it need not come into use.
    fn set(&self, register: usize, value: [Dword; 16]) {
        for (part, at, len) in self.parts(register) {
            // SAFETY: both have that part.
            unsafe { value.as_ptr().cast::<u8>().add(at).copy_to_nonoverlapping(part, len) };
        }
    }

    /// Each of 4 or 8 dwords of `to` becomes a `dot`, the others zero.
    fn dot(&self, wide: bool, to: usize, a: usize, b: Operand, dot: impl Fn(Dword, Dword, Dword) -> Dword) -> Outcome {
        let dwords = if wide { 8 } else { 4 };
        let (sum, a) = (self.get(to)?, self.get(a)?);
        let b = match b {
            Operand::Register(b) => self.get(b)?,
            Operand::Memory { start, stride, .. } => {
                let mut b = [[0; 4]; 16];
                let from = ptr::with_exposed_provenance::<Dword>(start.wrapping_add(stride));
                // SAFETY: as safe as the instruction is.
                unsafe { from.copy_to_nonoverlapping(b.as_mut_ptr(), dwords) };
                b
            }
        };
        self.set(to, std::array::from_fn(|i| if i < dwords { dot(sum[i], a[i], b[i]) } else { [0; 4] }));
        Ok(())
    }
}

/// Rows and bytes of a row are 0 where the tile is not configured.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    row_bytes: usize,
    data: [[Dword; 16]; 16],
}

struct Tiles([Tile; 8]);

const RELEASED: Tiles = Tiles([Tile { rows: 0, row_bytes: 0, data: [[[0; 4]; 16]; 16] }; 8]);

thread_local! {
    static TILES: RefCell<Tiles> = const { RefCell::new(RELEASED) };
}

impl Tiles {
    fn configure(&mut self, from: usize) -> Outcome {
        // SAFETY: as safe as the instruction is.
        let config = unsafe { ptr::with_exposed_provenance::<[u8; 64]>(from).read() };
        if config[0] == 0 {
            return self.release();
        }
        let zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        // A row to start at, `config[1]`, is not emulated.
        if config[0] != 1 || !zero(&config[1..16]) || !zero(&config[32..48]) || !zero(&config[56..]) {
            return Err("no such configuration of tiles");
        }
        let mut new = RELEASED;
        for (i, tile) in new.0.iter_mut().enumerate() {
            tile.rows = config[48 + i].into();
            tile.row_bytes = u16::from_le_bytes([config[16 + 2 * i], config[17 + 2 * i]]).into();
            if tile.rows > 16 || tile.row_bytes > 64 || (tile.rows == 0) != (tile.row_bytes == 0) {
                return Err("no such shape of a tile");
            }
        }
        *self = new;
        Ok(())
    }

    fn release(&mut self) -> Outcome {
        *self = RELEASED;
        Ok(())
    }

    fn tile(&mut self, tile: usize) -> Result<&mut Tile, &'static str> {
        let tile = self.0.get_mut(tile).ok_or("no such tile")?;
        match tile.row_bytes {
            0 => Err("the tile is not configured"),
            bytes if bytes % 4 != 0 => Err("the tile's rows are not of four bytes each"),
            _ => Ok(tile),
        }
    }

    fn zero(&mut self, tile: usize) -> Outcome {
        self.tile(tile)?.data = [[[0; 4]; 16]; 16];
        Ok(())
    }

    /// Loads a tile, or stores it. What is beyond its rows and their bytes is zero since it was configured.
    fn copy(&mut self, tile: usize, start: usize, stride: usize, store: bool) -> Outcome {
        let Tile { rows, row_bytes, data } = self.tile(tile)?;
        for (i, row) in data[..*rows].iter_mut().enumerate() {
            let (row, len) = (row.as_mut_ptr().cast::<u8>(), *row_bytes);
            let memory = ptr::with_exposed_provenance_mut(start.wrapping_add(stride.wrapping_mul(i)));
            let (from, to) = if store { (row, memory) } else { (memory, row) };
            // SAFETY: as safe as the instruction is.
            unsafe { from.copy_to_nonoverlapping(to, len) };
        }
        Ok(())
    }

    /// To each row of `sums`, the rows of `b` are added, each times four bytes of that row of `a`. That these are three
    /// tiles is the assembler's care.
    fn dot(&mut self, sums: usize, a: usize, b: usize, signed: [bool; 2]) -> Outcome {
        let (a, b) = (*self.tile(a)?, *self.tile(b)?);
        let sums = self.tile(sums)?;
        if (sums.rows, sums.row_bytes, b.rows) != (a.rows, b.row_bytes, a.row_bytes / 4) {
            return Err("the shapes of the tiles do not match");
        }
        for (sums, a) in sums.data.iter_mut().zip(&a.data) {
            for (a, b) in a.iter().zip(&b.data) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = dot_bytes(*sum, *a, *b, signed);
                }
            }
        }
        Ok(())
    }
}
