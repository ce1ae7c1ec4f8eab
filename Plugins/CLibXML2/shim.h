/* Where libxml2 was built with ICU its headers pull in ICU's, which clash with the ones in Foundation's modules. What
   they declare is the inside of an encoding handler; nothing here looks into one. */
#include <libxml/xmlversion.h>
#undef LIBXML_ICU_ENABLED

#include <libxml/parser.h>
#include <libxml/tree.h>

/* `xmlFree` is a variable that holds a function: Swift cannot show that nobody changes it. */
static inline void cxml_free(void *memory) { xmlFree(memory); }
