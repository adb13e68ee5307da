/*
 * What the calculator and its clients agree on: two words, and the answer is one, their quotient.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#define CALCULATOR "calculator"
