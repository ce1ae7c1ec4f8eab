/*
 * The guest_memfd hand-over of RFC PATCH v5 (lore 20250117163001.2326672-1-tabba@google.com), for one folio of one page.
 *
 * Written from the patches, not from the Swift machine: it is there to disagree. The grain is the same: one lock, one
 * atomic operation on the count, one load or store of the state, one page-table entry, or one touch of memory is one
 * step. `cross-check` defines the actors (ACTORS), whether the page is mapped at the beginning (MAPPED), how many hold a
 * reference (HOLDERS), and which property is asserted.
 */

#define ALL   0 /* KVM_GMEM_ALL_MAPPABLE */
#define GUEST 2 /* KVM_GMEM_GUEST_MAPPABLE */
#define NONE  3 /* KVM_GMEM_NONE_MAPPABLE */

#ifndef MAPPED
#define MAPPED 0
#endif
#ifndef HOLDERS
#define HOLDERS 0
#endif

#ifdef CHECK_HOST_ACCESS
#define TOUCHED_BY_HOST assert(mappability != GUEST)
#else
#define TOUCHED_BY_HOST skip
#endif

#ifdef CHECK_COMPLETES_ONCE
#define COMPLETES assert(mappability == NONE)
#else
#define COMPLETES skip
#endif

byte mappability = ALL;
short refcount = 1 + MAPPED + HOLDERS; /* the page cache's, the mapping's, the holders' */
bool guestmem = false;                 /* PGTY_guestmem */
bool mapped = MAPPED;                  /* one host page-table entry */
byte folio_owner = 0;
byte writer = 0;                       /* filemap_invalidate_lock */
byte readers = 0;

#define ME (_pid + 1)

inline invalidate_lock()          { d_step { writer == 0 && readers == 0; writer = ME } }
inline invalidate_unlock()        { d_step { assert(writer == ME); writer = 0 } }
inline invalidate_lock_shared()   { d_step { writer == 0; readers++ } }
inline invalidate_unlock_shared() { d_step { assert(readers > 0); readers-- } }
inline folio_lock()               { d_step { folio_owner == 0; folio_owner = ME } }
inline folio_unlock()             { d_step { assert(folio_owner == ME); folio_owner = 0 } }

/* filemap_lock_folio: the look-up spins while the count is zero. */
inline filemap_lock_folio() {
	d_step { refcount > 0; refcount++ };
	folio_lock()
}

/* folio_put, __folio_put, and kvm_gmem_handle_folio_put for a folio that has the type. */
inline folio_put() {
	if
	:: d_step { refcount > 1; refcount-- }
	:: d_step { refcount <= 1; refcount--; assert(refcount == 0) };
		assert(guestmem); /* else the folio would be freed although the file has it */
		invalidate_lock();
		guestmem = false;
		refcount++;
		d_step { COMPLETES; mappability = GUEST };
		invalidate_unlock()
	fi
}

/* zap_pte_range: the reference of the mapping goes. */
inline unmap() {
	do
	:: d_step { mapped; mapped = false };
		folio_put()
	:: !mapped -> break
	od
}

/* gmem_clear_mappable, then, as long as the page is in transit, kvm_slot_gmem_register_callback. */
proctype converter() {
	invalidate_lock();
	filemap_lock_folio();
	if
	:: refcount > 2 -> mappability = NONE
	:: refcount <= 2 -> mappability = GUEST
	fi;
	folio_unlock();
	folio_put();
	invalidate_unlock();
again:
	if
	:: d_step { writer == 0 && mappability != NONE; skip } -> goto done
	:: d_step { writer == 0 && mappability == NONE; skip }
	fi;
	invalidate_lock();
	filemap_lock_folio();
	if
	:: d_step { mapped && !guestmem; skip } ->
		folio_unlock();
		folio_put();
		invalidate_unlock();
		unmap();
		goto again
	:: d_step { guestmem; skip }
	:: d_step { !mapped && !guestmem; skip } ->
		guestmem = true;
		if
		:: d_step { refcount == 2; refcount-- };
			mappability = GUEST;
			guestmem = false;
			refcount++;
			folio_unlock();
			folio_put();
			invalidate_unlock();
			goto done
		:: d_step { refcount != 2; refcount--; assert(refcount >= 0) }
		fi
	fi;
	/* -EAGAIN, registered: wait for the end. */
	folio_unlock();
	folio_put();
	invalidate_unlock();
	mappability != NONE;
done:
	skip
}

/* gmem_set_mappable */
proctype convert_back() {
	invalidate_lock();
	if
	:: mappability == NONE ->
		filemap_lock_folio();
		if
		:: guestmem -> guestmem = false; refcount++
		:: !guestmem
		fi;
		mappability = ALL;
		folio_unlock();
		folio_put()
	:: mappability != NONE ->
		mappability = ALL
	fi;
	invalidate_unlock()
}

/* A reference that is held from the beginning. */
proctype holder() {
	d_step { TOUCHED_BY_HOST; skip };
	folio_put()
}

proctype speculative() {
	skip; /* finds the folio */
	if
	:: d_step { refcount > 0; refcount++ };
		folio_put()
	:: refcount <= 0
	fi
}

/* gup_fast_pte_range */
proctype pin() {
	if
	:: mapped
	:: !mapped -> goto done
	fi;
	if
	:: d_step { refcount > 0; refcount++ }
	:: refcount <= 0 -> goto done
	fi;
	if
	:: mapped -> d_step { TOUCHED_BY_HOST; skip }
	:: !mapped
	fi;
	folio_put();
done:
	skip
}

proctype unmapper() {
	unmap()
}

/* An access through the page table, with kvm_gmem_fault and finish_fault. */
proctype host() {
again:
	if
	:: d_step { mapped; TOUCHED_BY_HOST } -> goto done
	:: !mapped
	fi;
	invalidate_lock_shared();
	filemap_lock_folio();
	skip; /* PG_hwpoison is not set */
	if
	:: mappability != ALL -> goto refuse
	:: mappability == ALL
	fi;
	if
	:: guestmem -> goto refuse
	:: !guestmem
	fi;
	skip; /* the folio is up to date */
	invalidate_unlock_shared();
	if
	:: d_step { !mapped; mapped = true };
		folio_unlock()
	:: d_step { mapped; skip };
		folio_unlock();
		folio_put()
	fi;
	goto again;
refuse:
	folio_unlock();
	folio_put();
	invalidate_unlock_shared();
done:
	skip
}

init {
	atomic { ACTORS }
}
