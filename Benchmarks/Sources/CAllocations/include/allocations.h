#pragma once

/// The number of times that memory was allocated by this process so far.
unsigned long allocation_count(void);
