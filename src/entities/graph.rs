//! The parent graph, checked without recursion before Cedar closes it with recursion.

/// What is wrong with a graph.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GraphFault {
    /// The nodes of a cycle, in order.
    Cycle(Vec<usize>),
    /// A node whose chain of parents is longer than allowed.
    TooDeep(usize),
}

/// Checks that a graph has no cycle, and that no chain has more than `max_depth` edges. Visits each node
/// and edge once. `parent` gives the parents of a node one after the other: `None` after the last,
/// `Some(None)` for one outside the graph.
pub(crate) fn check(
    nodes: usize,
    parent: impl Fn(usize, usize) -> Option<Option<usize>>,
    max_depth: usize,
) -> Result<(), GraphFault> {
    // Height of a node: edges of its longest chain of parents. `None` until it is known.
    let mut height: Vec<Option<usize>> = vec![None; nodes];
    let mut on_path = vec![false; nodes];
    for root in 0..nodes {
        // A path of (node, next parent to visit, height so far).
        let mut path: Vec<(usize, usize, usize)> = Vec::new();
        if height.get(root).copied().flatten().is_none() {
            path.push((root, 0, 0));
            mark(&mut on_path, root, true);
        }
        while let Some((node, next, so_far)) = path.last_mut() {
            let (node, here) = (*node, *so_far);
            let Some(parent) = parent(node, *next) else {
                if here > max_depth {
                    return Err(GraphFault::TooDeep(node));
                }
                if let Some(slot) = height.get_mut(node) {
                    *slot = Some(here);
                }
                mark(&mut on_path, node, false);
                path.pop();
                if let Some((_, _, above)) = path.last_mut() {
                    *above = (*above).max(here + 1);
                }
                continue;
            };
            *next += 1;
            let Some(parent) = parent else {
                continue;
            };
            if let Some(known) = height.get(parent).copied().flatten() {
                *so_far = here.max(known + 1);
            } else if on_path.get(parent).copied().unwrap_or(false) {
                let cycle = path
                    .iter()
                    .map(|(node, _, _)| *node)
                    .skip_while(|node| *node != parent)
                    .collect();
                return Err(GraphFault::Cycle(cycle));
            } else {
                path.push((parent, 0, 0));
                mark(&mut on_path, parent, true);
            }
        }
    }
    Ok(())
}

/// Which nodes can lie on a cycle: those that are left when nodes without parents, and nodes without
/// children, are taken away again and again. Visits each edge a bounded number of times. `parents` gives the
/// parents of a node that are nodes of the graph.
pub(crate) fn core(parents: &[Vec<usize>]) -> Vec<bool> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    for (node, above) in parents.iter().enumerate() {
        for parent in above {
            if let Some(below) = children.get_mut(*parent) {
                below.push(node);
            }
        }
    }
    let mut left = vec![true; parents.len()];
    for (towards, back) in [
        (parents, children.as_slice()),
        (children.as_slice(), parents),
    ] {
        peel(towards, back, &mut left);
    }
    left
}

/// Takes away nodes that have nothing left in the direction `towards`, and what then has nothing left.
fn peel(towards: &[Vec<usize>], back: &[Vec<usize>], left: &mut [bool]) {
    let is_left = |left: &[bool], node: usize| left.get(node).copied().unwrap_or(false);
    let mut open: Vec<usize> = Vec::with_capacity(towards.len());
    for next in towards {
        open.push(next.iter().filter(|node| is_left(left, **node)).count());
    }
    let ends = open.iter().enumerate();
    let mut ready: Vec<usize> = ends.filter(|(_, n)| **n == 0).map(|(at, _)| at).collect();
    while let Some(node) = ready.pop() {
        if !is_left(left, node) {
            continue;
        }
        mark(left, node, false);
        for other in back.get(node).into_iter().flatten() {
            if let Some(open) = open.get_mut(*other) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    ready.push(*other);
                }
            }
        }
    }
}

fn mark(on_path: &mut [bool], node: usize, value: bool) {
    if let Some(slot) = on_path.get_mut(node) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::{GraphFault, check as check_by, core};

    #[test]
    fn the_core_is_what_cycles_are_made_of() {
        // 0 -> 1 <-> 2 -> 3, and 4 -> 4; 5 alone.
        let graph = [vec![1], vec![2], vec![1, 3], vec![], vec![4], vec![]];
        assert_eq!(core(&graph), [false, true, true, false, true, false]);
        let wide: Vec<Vec<usize>> = (0..100_000).map(|n| vec![(n + 1) % 100_000]).collect();
        assert!(core(&wide).iter().all(|left| *left));
    }

    fn check(parents: &[Vec<usize>], max_depth: usize) -> Result<(), GraphFault> {
        let parent = |node: usize, nth: usize| parents[node].get(nth).map(|at| Some(*at));
        check_by(parents.len(), parent, max_depth)
    }

    #[test]
    fn long_chains_are_measured_without_recursion() {
        let chain: Vec<Vec<usize>> = (0..200_000)
            .map(|n| if n == 0 { vec![] } else { vec![n - 1] })
            .collect();
        assert_eq!(check(&chain, 200_000), Ok(()));
        assert!(matches!(check(&chain, 1_000), Err(GraphFault::TooDeep(_))));
        let reversed: Vec<Vec<usize>> = (0..200_000)
            .map(|n| if n == 199_999 { vec![] } else { vec![n + 1] })
            .collect();
        assert!(matches!(
            check(&reversed, 1_000),
            Err(GraphFault::TooDeep(_))
        ));
    }

    #[test]
    fn cycles_are_named() {
        assert_eq!(
            check(&[vec![1], vec![2], vec![1]], 10),
            Err(GraphFault::Cycle(vec![1, 2]))
        );
        assert_eq!(check(&[vec![0]], 10), Err(GraphFault::Cycle(vec![0])));
    }

    #[test]
    fn diamonds_are_fine_and_measured_by_their_longest_side() {
        let diamond = [vec![1, 2], vec![3], vec![4], vec![], vec![3]];
        assert_eq!(check(&diamond, 3), Ok(()));
        assert_eq!(check(&diamond, 2), Err(GraphFault::TooDeep(0)));
    }
}
