//! Which outputs of a network share memory.

use crate::layer::Layer;

/// Slots of an arena, and which of them each layer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Values in each slot.
    pub slots: Vec<usize>,
    /// The slot of each layer's output.
    pub output: Vec<usize>,
}

impl Plan {
    /// Each output is held until the last layer that reads it, then its slot is free: a chain alternates between two
    /// slots, and a residual holds a third.
    pub fn new(layers: &[Layer]) -> Plan {
        // An output is read by the next layer; the last one by the caller.
        let mut last_use: Vec<usize> = (1..=layers.len()).collect();
        for (i, from) in layers.iter().enumerate().filter_map(|(i, layer)| Some((i, layer.residual_from?))) {
            last_use[from] = last_use[from].max(i);
        }
        let mut plan = Plan { slots: Vec::new(), output: Vec::new() };
        let mut held_until: Vec<usize> = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let len = layer.shape.y_len();
            // Of the free slots the one that must grow least, and of those the smallest.
            let free = (0..plan.slots.len()).filter(|&slot| held_until[slot] < i);
            let best = free.min_by_key(|&slot| (len.saturating_sub(plan.slots[slot]), plan.slots[slot]));
            let slot = best.unwrap_or_else(|| {
                plan.slots.push(0);
                held_until.push(0);
                plan.slots.len() - 1
            });
            plan.slots[slot] = plan.slots[slot].max(len);
            held_until[slot] = last_use[i];
            plan.output.push(slot);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, directory};

    #[test]
    fn nothing_is_overwritten_while_it_is_needed() {
        for name in Model::known(&directory("models")).unwrap() {
            let layers = Model::load(&directory("models"), &name).unwrap().layers;
            let plan = Plan::new(&layers);
            assert!(plan.slots.len() <= 3, "{name}: {:?}", plan.slots);
            // Which layer wrote each slot last.
            let mut written = vec![None; plan.slots.len()];
            for (i, layer) in layers.iter().enumerate() {
                let sources = [i.checked_sub(1), layer.residual_from];
                for from in sources.into_iter().flatten() {
                    assert_eq!(written[plan.output[from]], Some(from), "{name}: {}", layer.name);
                    assert_ne!(plan.output[from], plan.output[i], "{name}: {}", layer.name);
                }
                assert!(plan.slots[plan.output[i]] >= layer.shape.y_len());
                written[plan.output[i]] = Some(i);
            }
        }
    }
}
