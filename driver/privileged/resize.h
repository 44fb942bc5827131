/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESIZE: a device grows while it is used. What is behind it was made larger by whoever owns it;
 * the worker, whose file size limit and bounds are the device's old size, is replaced as by an
 * upgrade, and then the driver is told. So at no moment does the driver give a request for
 * what its worker does not serve.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

int resize_serve(struct op *op, struct packet *p, struct err *e);
