/// What a reduction is made to overlook, on purpose: to see that the comparison with a full exploration notices.
///
/// Nothing but tests uses any but `nothing`.
package enum Blindness: Sendable, CaseIterable {
    /// Nothing.
    case nothing
    /// The mappability of pages.
    case mappability
    /// Host page tables.
    case hostMappings
    /// Counts of references.
    case references
    /// The page cache.
    case pageCache
    /// Who holds which lock.
    case locks
    /// What actors do after their next step.
    case futures
}
