/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/bare/vdso.h"

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>

/* What a look-up needs of an image. */
struct vdso {
	uintptr_t base; /* to be added to addresses in it */
	const char *strings;
	const Elf64_Sym *symbols;
	const uint32_t *hash; /* DT_GNU_HASH: four numbers, a filter, buckets, chains */
};

static bool vdso_open(struct vdso *v, uintptr_t image)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)image;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(image + head->e_phoff);
	const Elf64_Dyn *d = NULL;

	v->base = image;
	for (unsigned int i = 0; i < head->e_phnum; i++) {
		if (p[i].p_type == PT_LOAD)
			v->base = image + p[i].p_offset - p[i].p_vaddr;
		else if (p[i].p_type == PT_DYNAMIC)
			d = (const Elf64_Dyn *)(image + p[i].p_offset);
	}
	for (; d && d->d_tag != DT_NULL; d++) {
		uintptr_t at = v->base + d->d_un.d_ptr;

		if (d->d_tag == DT_STRTAB)
			v->strings = (const char *)at;
		else if (d->d_tag == DT_SYMTAB)
			v->symbols = (const Elf64_Sym *)at;
		else if (d->d_tag == DT_GNU_HASH)
			v->hash = (const uint32_t *)at;
	}
	return v->strings && v->symbols && v->hash;
}

static bool vdso_same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void *vdso_find(uintptr_t image, const char *name)
{
	const uint32_t *buckets, *chains;
	struct vdso v = { 0 };
	uint32_t wanted = 5381, n;

	if (!image || !vdso_open(&v, image))
		return NULL;
	for (const char *p = name; *p; p++)
		wanted = wanted * 33 + (unsigned char)*p;
	buckets = v.hash + 4 + (size_t)v.hash[2] * 2;
	chains = buckets + v.hash[0];
	n = buckets[wanted % v.hash[0]];
	if (n < v.hash[1])
		return NULL;
	for (;; n++) {
		uint32_t hash = chains[n - v.hash[1]];

		if ((hash | 1) == (wanted | 1) && vdso_same(v.strings + v.symbols[n].st_name, name))
			return (void *)(v.base + v.symbols[n].st_value);
		if (hash & 1) /* the last of its bucket */
			return NULL;
	}
}
